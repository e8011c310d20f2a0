"""What the evaluator logs to MLflow and returns, from files of results written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from support.evidence_files import make_gate, make_label_ratio, make_metrics, make_run, make_validity, make_verdict

from synthcxr.data.metrics_schema import METRICS_FILE, SUMMARY_FILE, VERDICT_FILE
from synthcxr.evaluation.headline_metrics import summarise
from synthcxr.plugins import mlflow_evaluator
from synthcxr.registry import connection
from synthcxr.storage import json_files

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's own queries


@pytest.fixture
def client(tmp_path: Path) -> Iterator[MlflowClient]:
    """A client of an empty store, which is MLflow's current one."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    connection.connect(uri, create=True)
    with connection.use_tracking_uri(uri):
        yield MlflowClient()


def test_label_metrics_are_logged_and_returned(client: MlflowClient, tmp_path: Path) -> None:
    """Validity and specificity by finding, co-findings and effective sample size; the summary has the headline ones."""
    companions = [{"finding": "Mass", "synthetic": 0.7, "real": 0.2}]
    row = {"synthetic": 6.6, "n_synthetic": 60, "real": 2.2, "real_by_classifier": 3.1, "n_real": 40}
    metrics = make_metrics(
        labels={
            "status": "computed",
            "validity": make_validity(Effusion=make_label_ratio(0.1, -0.2, 0.4)),
            "specificity": make_validity(Effusion=make_label_ratio(0.05, -0.2, 0.3)) | {"mean": 0.05},
        },
        cofindings={"status": "computed", "synthetic": 4.5, "real": 1.5, "Effusion": row | {"companions": companions}},
        weights={"status": "computed", "effective_size": 2.0, "effective_share": 0.02, "n": 100},
    )
    verdict = make_verdict(
        make_gate("labels.validity.mean", "failed", 0.5), make_gate("weights.effective_share", "failed", 0.02)
    )
    results = tmp_path / "results"
    results.mkdir()
    summary = summarise(metrics, verdict, make_run(labels=("Effusion",)))
    for name, content in ((METRICS_FILE, metrics), (VERDICT_FILE, verdict), (SUMMARY_FILE, summary)):
        json_files.write_json(results / name, content)
    experiment = client.create_experiment("e", artifact_location=(tmp_path / "artifacts").as_uri())
    run_id = client.create_run(experiment).info.run_id
    result = mlflow_evaluator._Evaluation(tmp_path / "synthetic", results).log(run_id, None)
    data = client.get_run(run_id).data
    expected = {
        "labels.validity.Effusion.value": 0.1,
        "labels.specificity.Effusion.value": 0.05,
        "cofindings.Effusion.companions.Mass.synthetic": 0.7,
        "weights.effective_share": 0.02,
    }
    assert {name: data.metrics.get(name) for name in expected} == expected
    headline = {"label_validity": 0.5, "label_specificity": 0.05, "effective_share": 0.02, "gates_failed": 2}
    assert {name: result.metrics.get(name) for name in headline} == headline
    assert data.tags["synthcxr.why"].startswith("failed: ") and "labels.validity.mean" in data.tags["synthcxr.why"]
    assert result.artifacts["metrics"].content["labels"]["validity"]["Effusion"]["value"] == 0.1
