from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
from support.stub_models import write_stub_models

from synthcxr.errors import ArtifactError
from synthcxr.registry import client, publish, resolve_model, run_metrics

PublishGenerator = Callable[..., publish.PublishedRun]


def test_publishing_again_creates_the_next_version(
    any_registry: client.Registry, publish_generator: PublishGenerator
) -> None:
    """A second registration creates version 2 and moves the aliases; all versions are listed, newest first."""
    publish_generator(champion=True, seed=1)
    publish_generator(champion=True, seed=2)
    versions = list(any_registry.list_versions())
    assert [(version.version, version.aliases) for version in versions] == [("2", ("candidate", "champion")), ("1", ())]
    assert versions[0].tags[client.WHY_TAG] == "a test"


def test_failed_logging_moves_no_alias(
    any_registry: client.Registry,
    tmp_path: Path,
    publish_generator: PublishGenerator,
    build_model: Callable[..., publish.ModelToPublish],
) -> None:
    """If logging fails midway, the run is marked failed and the aliases stay on the previous version."""
    publish_generator(champion=True, seed=1)
    model = build_model(write_stub_models(tmp_path / "models2", 2), tmp_path / "folders2")
    shutil.rmtree(model.folder)
    contents = run_metrics.RunContents({}, (), {}, {}, "0123456789abcdef")
    with pytest.raises((ArtifactError, OSError)):
        publish.publish([model], contents, experiment="e", why="")
    assert any_registry.get_aliases("synthcxr-generator") == {"candidate": "1", "champion": "1"}
    mlflow_client = any_registry.client
    last, previous, *_ = mlflow_client.search_runs([mlflow_client.get_experiment_by_name("e").experiment_id])
    assert (last.info.status, previous.info.status) == ("FAILED", "FINISHED")


def test_version_needs_no_torch_and_contains_no_pickle(registry: Path, publish_generator: PublishGenerator) -> None:
    """A logged model names our loader, pins requirements without torch, and contains no pickled object or code."""
    publish_generator(champion=True)
    logged = resolve_model(None).path.parents[1]
    requirements = (logged / "requirements.txt").read_text()
    assert f"mlflow=={mlflow.__version__}" in requirements
    assert "synthcxr==" in requirements
    assert "onnxruntime" in requirements
    assert "torch" not in requirements
    assert "loader_module: synthcxr.plugins.mlflow_model" in (logged / "MLmodel").read_text()
    assert not [path for path in logged.rglob("*") if path.suffix in {".pkl", ".pickle", ".py"}]


def test_file_is_added_to_a_published_run(
    any_registry: client.Registry, tmp_path: Path, publish_generator: PublishGenerator
) -> None:
    """A report that is written after the registration is logged to the same run."""
    published = publish_generator(champion=True)
    report = tmp_path / "report.html"
    report.write_text("<p>hello</p>")
    publish.add_to_run(published.run_id, report, versions=published.versions)
    files = any_registry.client.list_artifacts(published.run_id)
    assert [file.path for file in files] == ["report.html"]
