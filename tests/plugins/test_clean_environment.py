"""A registered generator loads where there is only our wheel and what its requirements name: no torch, no source."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from installed import wheel, without_torch
from registrable import write_project
from standins import SIDE

from synthcxr import config
from synthcxr.registry import location
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
seen = classifier.predict(classifier.input_example)
import synthcxr
from mlflow.models import list_evaluators
print(json.dumps([
    list(table.columns), sizes, list(seen["Finding Labels"]), synthcxr.__file__, "torch" in sys.modules,
    "synthcxr" in list_evaluators(),
]))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with our wheel, without torch and without our source."""
    pytest.importorskip("hatchling", reason="no hatchling to build a wheel with: pip install hatchling")
    root = tmp_path_factory.mktemp("clean")
    return without_torch(root / "environment", wheel(root))


def test_a_champion_loads_from_the_wheel_alone(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`mlflow.pyfunc.load_model` gives images in an environment with our wheel, without torch and without our source;
    the wheel brings the plugins with it."""
    monkeypatch.delenv(location.VARIABLE, raising=False)
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    register.run(config.RegisterConfig(experiment="e"), **write_project(project))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    command = [environment / "bin" / "python", "-W", "ignore", "-c", PROGRAM]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    columns, sizes, findings, file, torch_loaded, has_evaluator = json.loads(done.stdout.splitlines()[-1])
    assert columns[:3] == ["request", "index", "seed"]
    assert {"Finding Labels", "p_Cardiomegaly", "weight", "sha256", "latent_sha256", "image"} <= set(columns)
    assert sizes == [[SIDE, SIDE]] * 4
    assert len(findings) == 1
    assert Path(file).is_relative_to(environment)
    assert not torch_loaded
    assert has_evaluator
