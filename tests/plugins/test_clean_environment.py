"""Use the wheel in an environment without torch and without our source.

The shipped models generate images without network, and a registered generator loads.
"""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest
from support.installed_package import build_wheel, create_environment_without_torch
from support.registered_project import write_project
from support.stub_models import SIDE

from synthcxr.config.schema import RegisterConfig
from synthcxr.data.synthetic_dataset import read_metadata
from synthcxr.registry import tracking_uri
from synthcxr.stages import register

pytestmark = pytest.mark.slow
PROGRAM = """
import io, json, mlflow, pandas as pd, sys
mlflow.set_tracking_uri("sqlite:///registry/mlflow.db")
model = mlflow.pyfunc.load_model("models:/synthcxr-generator@champion")
table = model.predict(pd.DataFrame({"label": ["Cardiomegaly"], "n": [4], "seed": [0]}), params={"max_draws": 500})
from PIL import Image
sizes = [Image.open(io.BytesIO(data)).size for data in table["image"]]
classifier = mlflow.pyfunc.load_model("models:/synthcxr-classifier@champion")
labels = classifier.predict(classifier.input_example)
import synthcxr
from mlflow.models import list_evaluators
print(json.dumps([
    list(table.columns), sizes, list(labels["Finding Labels"]), synthcxr.__file__, "torch" in sys.modules,
    "synthcxr" in list_evaluators(),
]))
"""
OFFLINE = """
import socket
def refuse(*_):
    raise OSError("this test has no network")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""
STARTER = "synthcxr/bundled_files/starter/"
MB = 1_000_000
MAX_BYTES = {"generator.onnx": 12 * MB, "classifier.onnx": 7 * MB, "judge.onnx": 7 * MB}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this source."""
    pytest.importorskip("hatchling", reason="no hatchling to build a wheel with: pip install hatchling")
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def environment(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel, without torch and without our source."""
    return create_environment_without_torch(tmp_path_factory.mktemp("clean") / "environment", built)


def test_wheel_contains_the_models_and_their_cards(built: Path) -> None:
    """Each model has its card, and the sizes stay within the limits of an install."""
    with zipfile.ZipFile(built) as archive:
        sizes = {item.filename.removeprefix(STARTER): item.file_size for item in archive.infolist()}
    assert {"README.md", "classifier.md", "judge.md", "reference.npz"} <= set(sizes)
    assert {name: sizes[name] for name in MAX_BYTES if sizes[name] > MAX_BYTES[name]} == {}
    assert sum(size for name, size in sizes.items() if name.endswith((".onnx", ".safetensors"))) <= 40 * MB


def test_wheel_generates_a_rare_finding_without_network(environment: Path, tmp_path: Path) -> None:
    """In an empty folder, the first two commands of the README generate 100 images with the models of the wheel, and
    evaluate them without films, without torch.
    """
    empty, hooks = tmp_path / "empty", tmp_path / "hooks"
    empty.mkdir()
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(OFFLINE, encoding="utf-8")
    command = [environment / "bin" / "synthcxr", "generate", "--n", "100", "--label", "Cardiomegaly", "--out", "x"]
    evaluate = [environment / "bin" / "synthcxr", "evaluate", "--dataset", "x", "--out", "results"]
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "SYNTHCXR_"))
    }
    variables |= {"PYTHONPATH": str(hooks), "HOME": str(tmp_path)}
    process = subprocess.run(command, cwd=empty, env=variables, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert [path.name for path in empty.iterdir()] == ["x"]
    labels = read_metadata(empty / "x")["Finding Labels"]
    assert len(labels) == len(list((empty / "x" / "images").rglob("*.png"))) == 100
    assert all("Cardiomegaly" in text.split("|") for text in labels)
    process = subprocess.run(evaluate, cwd=empty, env=variables, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert json.loads((empty / "results" / "metrics.json").read_text())["labels"]["validity"]["Cardiomegaly"]["value"]


def test_champion_loads_with_only_the_wheel(environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`mlflow.pyfunc.load_model` generates images without torch and without our source, and finds our evaluator."""
    monkeypatch.delenv(tracking_uri.URI_VARIABLE, raising=False)
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    register.run(RegisterConfig(experiment="e"), **write_project(project))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    command = [environment / "bin" / "python", "-W", "ignore", "-c", PROGRAM]
    process = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    columns, sizes, findings, file, torch_loaded, has_evaluator = json.loads(process.stdout.splitlines()[-1])
    assert columns[:3] == ["request", "index", "seed"]
    assert {"Finding Labels", "p_Cardiomegaly", "weight", "sha256", "latent_sha256", "image"} <= set(columns)
    assert sizes == [[SIDE, SIDE]] * 4
    assert len(findings) == 1
    assert Path(file).is_relative_to(environment)
    assert not torch_loaded
    assert has_evaluator
