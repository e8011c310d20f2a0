"""`mlflow.models.evaluate` with our evaluator, in an interpreter that finds it by entry point."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import REPOSITORY, Trained
from support.installed_package import entry_points, run

pytestmark = pytest.mark.slow

PROGRAM = """
import json, sys, mlflow, pandas as pd
onnx, films, params = sys.argv[1:] if len(sys.argv) > 1 else ARGS
mlflow.set_tracking_uri("sqlite:///m.db")
mlflow.pyfunc.save_model("model", loader_module="synthcxr.plugins.mlflow_model", data_path=onnx)
model = mlflow.pyfunc.load_model("model", model_config={"device": "cpu"})
requests = pd.DataFrame({"label": [""], "n": [60], "seed": [5]})
def evaluate(requests, **config):
    return mlflow.models.evaluate(
        model, requests, model_type="synthcxr", evaluators="synthcxr", evaluator_config=config
    )
with mlflow.start_run() as run:
    found = evaluate(requests, films=films, params=params)
held = mlflow.get_run(run.info.run_id)
logged = [file.path for file in mlflow.artifacts.list_artifacts(run_id=run.info.run_id, artifact_path="synthcxr")]
failures = []
for wrong in (dict(requests=pd.concat([requests] * 2)), dict(requests=requests, film="x")):
    try:
        evaluate(**wrong)
    except mlflow.MlflowException as error:
        failures.append(str(error))
print(json.dumps([found.metrics, held.data.metrics, held.data.tags, logged, failures, sorted(found.artifacts)]))
"""


@pytest.fixture(scope="module")
def evaluated(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    root = tmp_path_factory.mktemp("evaluated")
    arguments = [str(trained.onnx), str(trained.data), str(REPOSITORY / "params.yaml")]
    done = run(f"ARGS = {arguments!r}\n{PROGRAM}", at=root, path=entry_points(root / "site"))
    assert done.returncode == 0, done.stderr
    told: list[object] = json.loads(done.stdout.splitlines()[-1])
    assert not [path for path in Path(root).iterdir() if path.name.startswith("synthcxr-evaluate")]
    return told


@pytest.mark.slow
def test_our_evaluation_runs_and_is_logged(evaluated: list[object]) -> None:
    """Metrics, curves, figure and report are in the run, the headline figures in the result, the verdict in a tag."""
    headline, metrics, tags, logged, _, artifacts = evaluated
    assert headline["n_synthetic"] == metrics["n_synthetic"] == 60  # type: ignore[index]
    assert {"relative_distance.judge", "gates_failed", "label_total_variation"} <= set(headline)  # type: ignore[call-overload]
    assert headline["relative_distance.judge"] == metrics["distance.judge.relative"]  # type: ignore[index]
    names = {"metrics.json", "verdict.json", "report.html", "label_shares.svg", "curves"}
    assert {f"synthcxr/{name}" for name in names} <= set(logged)  # type: ignore[call-overload]
    assert tags["synthcxr.why"].startswith(("passed: ", "failed: "))  # type: ignore[index]
    assert artifacts == ["metrics", "verdict"]


def test_what_it_cannot_judge_is_one_line(evaluated: list[object]) -> None:
    """Two requests, or a setting that it does not know, are MLflow's error with our line."""
    two, unknown = evaluated[4]  # type: ignore[misc]
    assert "judges one request a call, label, n and seed, not 2" in two
    assert "unknown key 'film'; known: films, params" in unknown
