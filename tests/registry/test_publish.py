from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.stub_models import write_folder

from synthcxr.errors import ArtifactError
from synthcxr.registry import client as fetch
from synthcxr.registry import publish, resolve, run_metrics

PublishOne = Callable[..., publish.Published]


def test_publishing_again_makes_the_next_version(any_registry: fetch.Registry, publish_one: PublishOne) -> None:
    """Registering twice makes a second version and moves the aliases, and every version is listed, newest first."""
    publish_one(champion=True, seed=1)
    publish_one(champion=True, seed=2)
    listed = list(any_registry.versions())
    assert [(one.version, one.aliases) for one in listed] == [("2", ("candidate", "champion")), ("1", ())]
    assert listed[0].tags[fetch.WHY_TAG] == "as told"


def test_a_failed_logging_moves_no_alias(
    any_registry: fetch.Registry,
    tmp_path: Path,
    publish_one: PublishOne,
    version: Callable[..., publish.Model],
) -> None:
    """Where logging fails midway the run is marked failed and the aliases stay on the version before."""
    publish_one(champion=True, seed=1)
    models = write_folder(tmp_path / "models2", 2)
    whole = version(models, tmp_path / "b2")
    shutil.rmtree(whole.folder)
    nothing = run_metrics.Evidence({}, (), {}, {}, "0123456789abcdef")
    with pytest.raises((ArtifactError, OSError)):
        publish.publish([whole], nothing, experiment="e", why="")
    assert any_registry.aliases("synthcxr-generator") == {"candidate": "1", "champion": "1"}
    client = any_registry.client
    last, before, *_ = client.search_runs([client.get_experiment_by_name("e").experiment_id])
    assert (last.info.status, before.info.status) == ("FAILED", "FINISHED")


def test_a_version_needs_no_torch_and_holds_no_pickle(registry: Path, publish_one: PublishOne) -> None:
    """What is logged names our loader, pins requirements without torch and holds no pickled object or code."""
    publish_one(champion=True)
    logged = resolve(None).path.parents[1]
    required = (logged / "requirements.txt").read_text()
    assert f"mlflow=={fetch.mlflow.__version__}" in required
    assert "synthcxr==" in required
    assert "onnxruntime" in required
    assert "torch" not in required
    assert "loader_module: synthcxr.plugins.mlflow_model" in (logged / "MLmodel").read_text()
    assert not [path for path in logged.rglob("*") if path.suffix in {".pkl", ".pickle", ".py"}]


def test_a_file_joins_a_published_run(any_registry: fetch.Registry, tmp_path: Path, publish_one: PublishOne) -> None:
    """A report made after registering is logged to the run that registered."""
    published = publish_one(champion=True)
    report = tmp_path / "report.html"
    report.write_text("<p>hello</p>")
    publish.attach(published.run_id, report, versions=published.versions)
    client = any_registry.client
    assert [file.path for file in client.list_artifacts(published.run_id)] == ["report.html"]
