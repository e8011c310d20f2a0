"""Fixtures of the registry's tests: stand-in models, a folder to stand in, an MLflow store that holds nothing yet."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from support import postgres_server
from support.postgres_server import ADMIN, PASSWORD, TeamServer
from support.servers import Server
from support.stub_models import SIDE, write_folder

from synthcxr.model_files import model_folder
from synthcxr.model_files.onnx_metadata import Kind
from synthcxr.project import packaged_files
from synthcxr.registry import client, connection, model_bundle, promotion, publish, run_metrics, tracking_uri
from synthcxr.registry.model_address import GENERATOR
from synthcxr.storage import digests, json_files

EVIDENCE = run_metrics.Evidence({"a.b": "1"}, (run_metrics.Point("loss", 2.0, 3),), {}, {}, "0123456789abcdef")


def _version(models: Path, parent: Path, kind: Kind = "generator") -> publish.Model:
    """A model ready to publish."""
    names = (*model_folder.ONNX_FILES, "reference.npz") if kind == "generator" else (f"{kind}.onnx",)
    index = model_folder.read(models)
    folder = model_bundle.build(
        parent / kind, index=index, files={name: models / name for name in names}, card="# A card\n"
    )
    return publish.Model(kind, folder, "a stand-in", {"synthcxr.phantom": "true"}, np.zeros((SIDE, SIDE), np.uint8))


@pytest.fixture
def version() -> Callable[..., publish.Model]:
    """version(models, parent): a generator's version, ready to publish."""
    return _version


@pytest.fixture
def publish_one(tmp_path: Path) -> Callable[..., publish.Published]:
    """publish_one(champion=..., seed=0): publish a generator made of that seed."""

    def publish_(*, champion: bool, seed: int = 0) -> publish.Published:
        model = _version(write_folder(tmp_path / f"models{seed}", seed), tmp_path / f"bundles{seed}")
        made = publish.publish([model], EVIDENCE, experiment="e", why="as told")
        if champion:
            registry = client.Registry.open(tracking_uri.find() or tracking_uri.embedded())
            promotion.promote(registry, made.versions[GENERATOR], reason="as told")
        return made

    return publish_


@pytest.fixture
def publish_judged(tmp_path: Path) -> Callable[..., str]:
    """publish_judged(relative, passed=True): publish a generator and its labellers with a verdict; gives its number."""
    counter = itertools.count()

    def publish_(relative: float, *, passed: bool = True) -> str:
        at = next(counter)
        models = write_folder(tmp_path / f"judged{at}", at)
        distance = {"relative": relative, "relative_interval": [relative - 0.5, relative + 0.5], "digest": "d"}
        gate = {"metric": "distance.judge.relative", "value": relative, "threshold": 9, "direction": "max"}
        gate |= {"status": "passed" if passed else "failed"}
        found = {"n_real_test": 60, "distance": {"judge": distance}}
        results = {"metrics.json": found, "verdict.json": {"passed": passed, "gates": [gate]}}
        for name, content in results.items():
            json_files.write_json(tmp_path / f"results{at}" / name, content)
        made = [_version(models, tmp_path / f"versions{at}", kind) for kind in ("generator", "classifier")]
        made[0].tags.update(
            {
                "synthcxr.training_data": "f",
                client.METRICS_TAG: digests.sha256_file(tmp_path / f"results{at}" / "metrics.json"),
                client.VERDICT_TAG: digests.sha256_file(tmp_path / f"results{at}" / "verdict.json"),
            }
        )
        files = {tmp_path / f"results{at}" / name: "" for name in results}
        held = dataclasses.replace(EVIDENCE, files=files)
        return publish.publish(made, held, experiment="e", why="").versions[GENERATOR]

    return publish_


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store with its tables and nothing in them: they take seconds to make."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    connection.connect(f"sqlite:///{path}", create=True)
    return path


@pytest.fixture
def server(tmp_path: Path, empty_store: Path) -> Iterator[Server]:
    """A running server, ended after the test."""
    running = Server(tmp_path / "server", empty_store)
    try:
        running.start()
        yield running
    finally:
        running.kill()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in, with a cache of its own and no MLflow server."""
    monkeypatch.delenv(tracking_uri.VARIABLE, raising=False)
    monkeypatch.setenv("SYNTHCXR_CACHE", str(tmp_path / "cache"))
    here = tmp_path / "project"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def registry(project: Path, empty_store: Path) -> Path:
    """A project folder with an embedded registry that holds nothing yet."""
    (project / "registry").mkdir()
    shutil.copyfile(empty_store, project / tracking_uri.EMBEDDED)
    return project


@pytest.fixture(scope="session")
def team() -> Iterator[TeamServer]:
    """One server for all tests, in a folder that the user `postgres` may enter."""
    if problem := postgres_server.missing():
        pytest.skip(problem)
    with postgres_server.enterable() as folder, postgres_server.running(folder / "server") as server:
        yield server


@pytest.fixture
def let_in(team: TeamServer, project: Path, monkeypatch: pytest.MonkeyPatch) -> client.Registry:
    """This project speaks to the team's server, with its password, about models of its own."""
    monkeypatch.setenv(tracking_uri.VARIABLE, team.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    registry = client.Registry.open(team.url)
    for model in registry.client.search_registered_models():
        registry.client.delete_registered_model(model.name)
    return registry


@pytest.fixture(params=["embedded", pytest.param("team", marks=pytest.mark.slow)])
def any_registry(request: pytest.FixtureRequest) -> client.Registry:
    """The store that a test is about, empty: the folder's own, and in `make test-all` a team's server as well."""
    if request.param == "team":
        held: client.Registry = request.getfixturevalue("let_in")
        return held
    request.getfixturevalue("registry")
    return client.Registry.open(tracking_uri.embedded())


@pytest.fixture
def no_starter(monkeypatch: pytest.MonkeyPatch) -> None:
    """An install without starter models."""
    monkeypatch.setattr(packaged_files, "find", lambda name: None)
