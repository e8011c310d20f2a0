"""Fixtures of the registry tests: stub models, a project folder, an empty MLflow store and servers."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from support import postgres_server
from support.mlflow_server import MlflowServer
from support.postgres_server import ADMIN, PASSWORD, TeamServer
from support.stub_models import SIDE, write_stub_models

from synthcxr.model_files import model_folder
from synthcxr.model_files.onnx_metadata import Kind
from synthcxr.project import packaged_files
from synthcxr.registry import client, connection, promotion, publish, run_metrics, tracking_uri
from synthcxr.registry.model_address import GENERATOR_MODEL
from synthcxr.storage import digests, json_files

CONTENTS = run_metrics.RunContents({"a.b": "1"}, (run_metrics.MetricPoint("loss", 2.0, 3),), {}, {}, "0123456789abcdef")


def _build_model(models: Path, parent: Path, kind: Kind = "generator") -> publish.ModelToPublish:
    names = (*model_folder.ONNX_FILES, "reference.npz") if kind == "generator" else (f"{kind}.onnx",)
    index = model_folder.read_index(models)
    folder = publish.build_model_folder(
        parent / kind, index=index, files={name: models / name for name in names}, card="# A card\n"
    )
    return publish.ModelToPublish(
        kind, folder, "a stub", {"synthcxr.phantom": "true"}, np.zeros((SIDE, SIDE), np.uint8)
    )


@pytest.fixture
def build_model() -> Callable[..., publish.ModelToPublish]:
    """build_model(models, parent): a generator that is ready to publish."""
    return _build_model


@pytest.fixture
def publish_generator(tmp_path: Path) -> Callable[..., publish.PublishedRun]:
    """publish_generator(champion=..., seed=0): publish the stub generator of that seed."""

    def publish_generator_(*, champion: bool, seed: int = 0) -> publish.PublishedRun:
        model = _build_model(write_stub_models(tmp_path / f"models{seed}", seed), tmp_path / f"folders{seed}")
        published = publish.publish([model], CONTENTS, experiment="e", why="a test")
        if champion:
            registry = client.Registry.open(tracking_uri.find() or tracking_uri.embedded_uri())
            promotion.promote(registry, published.versions[GENERATOR_MODEL], reason="a test")
        return published

    return publish_generator_


@pytest.fixture
def publish_evaluated(tmp_path: Path) -> Callable[..., str]:
    """publish_evaluated(relative, passed=True): publish generator and classifier with evidence; return the version."""
    counter = itertools.count()

    def publish_evaluated_(relative: float, *, passed: bool = True) -> str:
        index = next(counter)
        models, results = write_stub_models(tmp_path / f"evaluated{index}", index), tmp_path / f"results{index}"
        distance = {"relative": relative, "relative_interval": [relative - 0.5, relative + 0.5], "digest": "d"}
        gate = {"metric": "distance.judge.relative", "value": relative, "threshold": 9, "direction": "max"}
        gate |= {"status": "passed" if passed else "failed"}
        json_files.write_json(results / "metrics.json", {"n_real_test": 60, "distance": {"judge": distance}})
        json_files.write_json(
            results / "verdict.json", {"passed": passed, "gates": [gate | {"sentence": "The distance."}]}
        )
        to_publish = [_build_model(models, tmp_path / f"versions{index}", kind) for kind in ("generator", "classifier")]
        to_publish[0].tags.update(
            {
                client.TRAINING_DATA_TAG: "f",
                client.METRICS_TAG: digests.sha256_file(results / "metrics.json"),
                client.VERDICT_TAG: digests.sha256_file(results / "verdict.json"),
            }
        )
        contents = dataclasses.replace(CONTENTS, files=dict.fromkeys(results.iterdir(), ""))
        return publish.publish(to_publish, contents, experiment="e", why="").versions[GENERATOR_MODEL]

    return publish_evaluated_


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store with empty tables, which take seconds to create."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    connection.connect(f"sqlite:///{path}", create=True)
    return path


@pytest.fixture
def server(tmp_path: Path, empty_store: Path) -> Iterator[MlflowServer]:
    """A running MLflow server, stopped after the test."""
    running = MlflowServer(tmp_path / "server", empty_store)
    try:
        running.start()
        yield running
    finally:
        running.kill()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder with its own cache and no MLflow server."""
    monkeypatch.delenv(tracking_uri.URI_VARIABLE, raising=False)
    monkeypatch.setenv("SYNTHCXR_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def registry(project: Path, empty_store: Path) -> Path:
    """A project folder with an empty embedded registry."""
    (project / "registry").mkdir()
    shutil.copyfile(empty_store, project / tracking_uri.EMBEDDED_DATABASE)
    return project


@pytest.fixture(scope="session")
def team_server() -> Iterator[TeamServer]:
    """One PostgreSQL-backed server for all tests, in a folder that the user `postgres` may enter."""
    if problem := postgres_server.find_missing_requirement():
        pytest.skip(problem)
    with (
        postgres_server.open_scratch_folder() as folder,
        postgres_server.run_team_server(folder / "server") as server,
    ):
        yield server


@pytest.fixture
def team_registry(team_server: TeamServer, project: Path, monkeypatch: pytest.MonkeyPatch) -> client.Registry:
    """The registry of the team server, without models; the project connects to it with the password."""
    monkeypatch.setenv(tracking_uri.URI_VARIABLE, team_server.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    registry = client.Registry.open(team_server.url)
    for model in registry.client.search_registered_models():
        registry.client.delete_registered_model(model.name)
    return registry


@pytest.fixture(params=["embedded", pytest.param("team", marks=pytest.mark.slow)])
def any_registry(request: pytest.FixtureRequest) -> client.Registry:
    """An empty registry: the embedded one, and in `make test-all` also that of the team server."""
    if request.param == "team":
        registry: client.Registry = request.getfixturevalue("team_registry")
        return registry
    request.getfixturevalue("registry")
    return client.Registry.open(tracking_uri.embedded_uri())


@pytest.fixture
def no_starter(monkeypatch: pytest.MonkeyPatch) -> None:
    """An install without starter models."""
    monkeypatch.setattr(packaged_files, "find", lambda name: None)
