"""Fixtures of the registry's tests: stand-in models, a folder to stand in, an MLflow store that holds nothing yet."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from synthcxr import bundled, contract, records
from synthcxr.contract import Contract, Kind
from synthcxr.labels import FINDINGS
from synthcxr.registry import bundle, evidence, location, publish, store

SIDE, LATENT = 8, 4
EVIDENCE = evidence.Evidence({"a.b": "1"}, (evidence.Point("loss", 2.0, 3),), {}, {}, "0123456789abcdef")


def _write_model(path: Path, kind: Kind, seed: int = 0) -> None:
    """A stand-in with our contract: one matrix product in place of a network."""
    rng = np.random.default_rng(seed)
    pixels = SIDE * SIDE
    if kind == "generator":
        weights = {"w": (LATENT, pixels)}
        shape = np.array([-1, 1, SIDE, SIDE])
        nodes = [("MatMul", ["z", "w"], ["flat"]), ("Tanh", ["flat"], ["t"]), ("Reshape", ["t", "shape"], ["image"])]
        inputs = {"z": ["N", LATENT]}
        outputs = {"image": ["N", 1, SIDE, SIDE]}
    else:
        weights = {"w": (pixels, len(FINDINGS)), "v": (pixels, 3)}
        shape = np.array([-1, pixels])
        nodes = [
            ("Reshape", ["image", "shape"], ["flat"]),
            ("MatMul", ["flat", "w"], ["logits"]),
            ("MatMul", ["flat", "v"], ["features"]),
        ]
        inputs = {"image": ["N", 1, SIDE, SIDE]}
        outputs = {"logits": ["N", len(FINDINGS)], "features": ["N", 3]}
    graph = helper.make_graph(
        [helper.make_node(op, takes, gives) for op, takes, gives in nodes],
        kind,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape_) for name, shape_ in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape_) for name, shape_ in outputs.items()],
        [numpy_helper.from_array(shape, "shape")]
        + [numpy_helper.from_array(rng.normal(size=size).astype(np.float32), name) for name, size in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    thresholds = {} if kind == "generator" else dict.fromkeys(FINDINGS, 0.5)
    held = Contract(
        kind=kind,
        resolution=SIDE,
        latent=LATENT if kind == "generator" else 0,
        findings=FINDINGS,
        thresholds=thresholds,
        network={},
        training_data="0123456789abcdef",
        phantom=True,
        licence="Apache-2.0",
    )
    contract.stamp(model, held)
    onnx.save(model, path)


def _write_folder(folder: Path, seed: int = 0) -> Path:
    """A models/onnx folder: three stand-ins, a reference and model.json."""
    folder.mkdir(parents=True)
    for name in bundle.ONNX_FILES:
        _write_model(folder / name, name.removesuffix(".onnx"), seed)  # type: ignore[arg-type]
    np.savez(folder / "reference.npz", counts=np.zeros(15))
    index = {
        "files": {path.name: {"sha256": records.sha256_file(path)} for path in sorted(folder.iterdir())},
        "training_data": "0123456789abcdef",
        "phantom": True,
        "attribution": ["Films of nobody"],
        "resolution": SIDE,
    }
    records.write_json(folder / bundle.INDEX, index)
    return folder


def _version(models: Path, parent: Path, kind: Kind = "generator") -> publish.Model:
    """A model ready to publish."""
    names = (*bundle.ONNX_FILES, "reference.npz") if kind == "generator" else (f"{kind}.onnx",)
    index = bundle.read_index(models)
    folder = bundle.build(parent / kind, index=index, files={name: models / name for name in names}, card="# A card\n")
    return publish.Model(kind, folder, "a stand-in", {"synthcxr.phantom": "true"}, np.zeros((SIDE, SIDE), np.uint8))


@pytest.fixture(scope="session")
def write_folder() -> Callable[..., Path]:
    """write_folder(folder, seed=0): a models/onnx folder of stand-ins."""
    return _write_folder


@pytest.fixture
def version() -> Callable[..., publish.Model]:
    """version(models, parent): a generator's version, ready to publish."""
    return _version


@pytest.fixture
def publish_one(tmp_path: Path) -> Callable[..., publish.Published]:
    """publish_one(champion=..., seed=0): publish a generator made of that seed."""

    def publish_(*, champion: bool, seed: int = 0) -> publish.Published:
        model = _version(_write_folder(tmp_path / f"models{seed}", seed), tmp_path / f"bundles{seed}")
        return publish.publish([model], EVIDENCE, experiment="e", champion=champion, why="as told")

    return publish_


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store with its tables and nothing in them: they take seconds to make."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    store.connect(f"sqlite:///{path}", create=True)
    return path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in, with a cache of its own and no MLflow server."""
    monkeypatch.delenv(location.VARIABLE, raising=False)
    monkeypatch.setenv("SYNTHCXR_CACHE", str(tmp_path / "cache"))
    here = tmp_path / "project"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def registry(project: Path, empty_store: Path) -> Path:
    """A project folder with an embedded registry that holds nothing yet."""
    (project / "registry").mkdir()
    shutil.copyfile(empty_store, project / location.EMBEDDED)
    return project


@pytest.fixture
def no_starter(monkeypatch: pytest.MonkeyPatch) -> None:
    """An install without starter models."""
    monkeypatch.setattr(bundled, "find", lambda name: None)
