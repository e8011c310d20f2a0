"""The report in MLflow: it goes to the run of the registered models, with the results of optional experiments."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.report_project import (
    CONFIG,
    GENERATOR_DIGEST,
    JUDGE_DIGEST,
    METRICS,
    Page,
    write_dataset,
    write_experiments,
    write_films,
    write_results,
)

from synthcxr.registry import connection, tracking_uri
from synthcxr.registry.client import DIGEST_TAG
from synthcxr.stages import report
from synthcxr.storage import json_files


def test_the_public_report_is_logged_to_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run in registered.json receives the report, and never the private one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uri = tracking_uri.embedded_uri()
    client = connection.connect(uri, create=True)
    with connection.translate_errors(uri):
        run_id = client.create_run(connection.get_or_create_experiment(client, uri, "reports")).info.run_id
    results, dataset = write_results(tmp_path / "results"), write_dataset(tmp_path / "synthetic")
    registered = {"run_id": run_id, "versions": {"synthcxr-generator": "1"}, "champion": False, "why": "no gate"}
    json_files.write_json(results / "registered.json", registered | {"tracking_uri_kind": "embedded"})
    films = write_films(tmp_path / "cxr")
    report.run(CONFIG, results=results, dataset=dataset, out=results / "report.html", films=films)
    with connection.translate_errors(uri):
        assert [file.path for file in client.list_artifacts(run_id)] == ["report.html"]
    text = Page.read(results / "report.html").text
    assert "synthcxr-generator version 1" in text
    assert "no: no gate" in text


@pytest.mark.slow
def test_experiments_are_logged_to_the_version_that_they_evaluate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The generator's version receives utility, the judge's version disturb; a second report logs nothing again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uri = tracking_uri.embedded_uri()
    client, models = connection.connect(uri, create=True), {}
    with connection.translate_errors(uri), connection.use_tracking_uri(uri):
        experiment = connection.get_or_create_experiment(client, uri, "reports")
        run_id = client.create_run(experiment).info.run_id
        for name, digest in (("synthcxr-generator", GENERATOR_DIGEST), ("synthcxr-judge", "ee" * 32)):
            client.create_registered_model(name)
            model_id = client.create_logged_model(experiment, name=name, source_run_id=run_id).model_id
            tags = {DIGEST_TAG: digest}
            client.create_model_version(name, f"models:/{model_id}", run_id, tags=tags, model_id=model_id)
            models[name] = model_id
    metrics = METRICS | {"models": {"generator": GENERATOR_DIGEST, "judge": JUDGE_DIGEST}}
    results, dataset = write_results(tmp_path / "results", metrics=metrics), write_dataset(tmp_path / "synthetic")
    write_experiments(results)
    registered = {"run_id": run_id, "versions": dict.fromkeys(models, "1"), "champion": False, "why": ""}
    json_files.write_json(results / "registered.json", registered)
    for _ in range(2):
        report.run(CONFIG, results=results, dataset=dataset, out=results / "report.html", films=None)
    with connection.translate_errors(uri):
        logged = {
            name: {metric.key: metric.value for metric in client.get_logged_model(model_id).metrics or ()}
            for name, model_id in models.items()
        }
        history = client.get_metric_history(run_id, "utility.arms.synthetic only.ranks.mean.value")
    assert logged["synthcxr-generator"]["utility.arms.synthetic only.ranks.mean.value"] == 0.61
    assert not logged["synthcxr-judge"]  # the version has another digest than the judge that disturb evaluated
    assert len(history) == 1
