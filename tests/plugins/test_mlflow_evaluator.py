"""`mlflow.models.evaluate` with our evaluator, in an interpreter that finds it by entry point."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from conftest import REPOSITORY, Trained
from support.installed_package import run_python, write_entry_points

pytestmark = pytest.mark.slow

PROGRAM = """
import json, mlflow, pandas as pd
models, films, params = ARGUMENTS
mlflow.set_tracking_uri("sqlite:///m.db")
mlflow.pyfunc.save_model("model", loader_module="synthcxr.plugins.mlflow_model", data_path=models)
model = mlflow.pyfunc.load_model("model", model_config={"device": "cpu"})
requests = pd.DataFrame({"label": [""], "n": [60], "seed": [5]})
def evaluate(requests, **config):
    return mlflow.models.evaluate(
        model, requests, model_type="synthcxr", evaluators="synthcxr", evaluator_config=config
    )
with mlflow.start_run() as run:
    result = evaluate(requests, films=films, params=params)
data = mlflow.get_run(run.info.run_id).data
files = [file.path for file in mlflow.artifacts.list_artifacts(run_id=run.info.run_id, artifact_path="synthcxr")]
errors = []
for mistake in (dict(requests=pd.concat([requests] * 2)), dict(requests=requests, film="x")):
    try:
        evaluate(**mistake)
    except mlflow.MlflowException as error:
        errors.append(str(error))
print(json.dumps([result.metrics, data.metrics, data.tags, files, errors, sorted(result.artifacts)]))
"""


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """The summary that the evaluator returned, what it logged, and the errors of two mistakes."""

    summary: dict[str, float]
    metrics: dict[str, float]
    tags: dict[str, str]
    files: list[str]
    errors: list[str]
    artifacts: list[str]


@pytest.fixture(scope="module")
def evaluated(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    root = tmp_path_factory.mktemp("evaluated")
    arguments = [str(trained.onnx), str(trained.data), str(REPOSITORY / "params.yaml")]
    process = run_python(f"ARGUMENTS = {arguments!r}\n{PROGRAM}", folder=root, path=write_entry_points(root / "site"))
    assert process.returncode == 0, process.stderr
    assert not [path for path in Path(root).iterdir() if path.name.startswith("synthcxr-evaluate")]
    return Evaluated(*json.loads(process.stdout.splitlines()[-1]))


def test_evaluation_is_logged(evaluated: Evaluated) -> None:
    """The run has metrics, curves, figure and report, the result the summary, and a tag the verdict."""
    assert evaluated.summary["n_synthetic"] == evaluated.metrics["n_synthetic"] == 60
    expected = {"relative_distance.judge", "gates_failed", "label_total_variation", "effective_share"}
    assert expected <= set(evaluated.summary)
    assert evaluated.summary["effective_share"] == evaluated.metrics["weights.effective_share"] == 1
    assert evaluated.metrics["cofindings.synthetic"] >= 0
    assert evaluated.summary["relative_distance.judge"] == evaluated.metrics["distance.judge.relative"]
    names = {"metrics.json", "verdict.json", "report.html", "label_shares.svg", "curves"}
    assert {f"synthcxr/{name}" for name in names} <= set(evaluated.files)
    assert evaluated.tags["synthcxr.why"].startswith(("passed: ", "failed: "))
    assert evaluated.artifacts == ["metrics", "verdict"]


def test_mistake_is_a_one_line_error(evaluated: Evaluated) -> None:
    """Two requests, or an unknown setting, are MLflow's error with our line."""
    two_requests, unknown_key = evaluated.errors
    assert "needs exactly one request (label, n, seed), not 2" in two_requests
    assert "unknown key 'film'; known: films, params" in unknown_key
