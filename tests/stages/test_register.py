from __future__ import annotations

import dataclasses
import io
import shutil
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.registered_project import enter_project, record_evaluated_digests, write_project, write_results
from support.stub_models import SIDE

from synthcxr.config.schema import RegisterConfig, load_config
from synthcxr.data import images
from synthcxr.errors import ArtifactError, ConfigError, DataError
from synthcxr.model_files import model_folder
from synthcxr.registry import client, connection, resolve_model, tracking_uri
from synthcxr.stages import register
from synthcxr.storage import json_files

NAMES = ("synthcxr-classifier", "synthcxr-generator", "synthcxr-judge")
CONFIG = RegisterConfig(experiment="phantoms")


@dataclasses.dataclass(frozen=True)
class Registration:
    """The arguments of one registration, the result that it returned, and what it printed."""

    root: Path
    arguments: dict[str, Any]
    result: dict[str, Any]
    printed: str


def register_in(root: Path, arguments: dict[str, Any]) -> Registration:
    printed = io.StringIO()
    with enter_project(root), pytest.MonkeyPatch.context() as patch, redirect_stdout(printed), redirect_stderr(printed):
        patch.setenv("DVC_STAGE", "register")
        return Registration(root, arguments, register.run(CONFIG, **arguments), printed.getvalue())


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Registration:
    """A first registration with a passed verdict; it creates the store."""
    root = tmp_path_factory.mktemp("project")
    return register_in(root, write_project(root))


@pytest.fixture(scope="module")
def second(first: Registration) -> Registration:
    """The same registration again."""
    return register_in(first.root, first.arguments)


@pytest.fixture(scope="module")
def third(second: Registration) -> Registration:
    """The same registration after a gate failed."""
    shutil.rmtree(second.root / "results")
    write_results(second.root / "results", passed=False)
    record_evaluated_digests(
        second.root / "results", second.root / "models" / "onnx", second.root / "data" / "synthetic"
    )
    return register_in(second.root, second.arguments)


@pytest.fixture
def in_project(first: Registration, monkeypatch: pytest.MonkeyPatch) -> Registration:
    """The first registration, with its project as the current folder; later ones may have moved the aliases."""
    monkeypatch.delenv(tracking_uri.URI_VARIABLE, raising=False)
    monkeypatch.chdir(first.root)
    return first


def open_registry() -> client.Registry:
    return client.Registry.open(tracking_uri.embedded_uri())


def test_first_registration_creates_the_store_and_prints_only_progress(in_project: Registration) -> None:
    """The stage creates registry/mlflow.db and registry/artifacts, nothing else, and MLflow's messages are left out."""
    root = in_project.root
    first, *others = in_project.printed.splitlines()
    assert first == "logging the run to MLflow"
    assert [line for line in others if not line.startswith("registering: ")] == []
    assert {path.name for path in root.iterdir()} == {"params.yaml", "models", "results", "data", "registry"}
    assert {path.name for path in (root / "registry").iterdir()} == {"mlflow.db", "artifacts"}


def test_everything_is_logged_in_one_run(in_project: Registration) -> None:
    """Parameters, metrics, curves, sample grids, the fingerprint of the films and DVC tags are in one run."""
    result = in_project.result
    assert result["versions"] == dict.fromkeys(NAMES, "1")
    assert (result["champion"], result["tracking_uri_kind"]) == (True, "embedded")
    assert result["why"] == "passed: distance.judge.relative 3.5 (max 4)"
    mlflow_client = open_registry().client
    run = mlflow_client.get_run(result["run_id"])
    assert run.info.status == "FINISHED"
    config = load_config(in_project.arguments["params"])
    for resolution, nimg in config.train_gan.nimg.items():
        assert run.data.params[f"train_gan.nimg.{resolution}"] == str(nimg)
    assert run.data.params["prepare.sources.0.reader"] == "phantom"
    assert run.data.params["evaluate.gates.0.metric"] == config.evaluate.gates[0].metric
    assert run.data.metrics["distance.judge.relative"] == 3.5
    assert run.data.metrics["generate.acceptance_rate"] == 1.0
    assert "phantom" not in run.data.metrics
    history = mlflow_client.get_metric_history(result["run_id"], "train_gan/loss")
    assert [(point.step, point.value) for point in history] == [(0, 1.0), (100, 0.5), (200, 1 / 3)]
    assert run.data.tags["DVC_STAGE"] == "register"
    assert run.data.tags["synthcxr.training_data"] == "0123456789abcdef"
    assert [film_set.dataset.digest for film_set in run.inputs.dataset_inputs] == ["0123456789abcdef"]
    files = {file.path for file in mlflow_client.list_artifacts(result["run_id"])}
    assert {"snapshots", "metrics.json", "verdict.json", "params.yaml", "synthetic"} <= files
    snapshots = mlflow_client.list_artifacts(result["run_id"], "snapshots")
    assert snapshots[0].path == "snapshots/grid_000001000.png"


def test_metrics_are_logged_with_the_model_that_they_measure(in_project: Registration) -> None:
    """The results of `evaluate` belong to the generator's version, val scores to classifier and judge."""
    mlflow_client, metrics = open_registry().client, {}
    for kind in ("generator", "classifier", "judge"):
        source = mlflow_client.get_model_version(f"synthcxr-{kind}", "1").source
        model = mlflow_client.get_logged_model(source.removeprefix("models:/"))
        metrics[kind] = {metric.key: metric.value for metric in model.metrics or ()}
    assert metrics["generator"]["distance.judge.relative"] == 3.5
    assert any(key.startswith("classifier.val.findings.Edema") for key in metrics["classifier"])
    assert any(key.startswith("judge.val.findings.Edema") for key in metrics["judge"])
    assert not any(key.startswith("distance") for key in (*metrics["classifier"], *metrics["judge"]))


def test_generator_version_is_complete_without_the_registry(in_project: Registration) -> None:
    """Its folder has all three models, the reference, training weights and cards; a judge's has only its own."""
    folder = resolve_model("models:/synthcxr-generator/1").path
    names = {path.name for path in folder.iterdir()}
    weights = {"generator.safetensors", "discriminator.safetensors", "config.json"}
    cards = {"README.md", "classifier.md", "judge.md"}
    assert names == {*model_folder.ONNX_FILES, "reference.npz", "model.json", *cards, *weights}
    assert set(model_folder.read_index(folder)["files"]) == names - {"model.json"}
    assert "Relative distance 3.5." in (folder / "README.md").read_text()
    row = "| Edema | 0.8 (0.7 to 0.9) |"
    assert row in (folder / "judge.md").read_text()
    judge = resolve_model("models:/synthcxr-judge/1").path
    assert {path.name for path in judge.iterdir()} == {
        *("judge.onnx", "weights.safetensors", "config.json", "README.md", "model.json")
    }
    assert row in (judge / "README.md").read_text()


def test_mlflow_loads_registered_models(in_project: Registration) -> None:
    """MLflow loads each version, which accepts its input example and returns the columns of its signature."""
    uri = tracking_uri.embedded_uri()
    with connection.translate_errors(uri), connection.use_tracking_uri(uri):
        import mlflow.pyfunc as pyfunc

        generator = pyfunc.load_model("models:/synthcxr-generator@champion", model_config={"device": "cpu"})
        table = generator.predict(pd.DataFrame({"label": ["Mass"], "n": [2], "seed": [1]}), params={"max_draws": 500})
        assert list(table.columns) == generator.metadata.get_output_schema().input_names()
        assert images.decode_png(table["image"][0]).shape == (SIDE, SIDE)
        judge = pyfunc.load_model("models:/synthcxr-judge/1")
        table = judge.predict(np.zeros((2, 1, SIDE, SIDE), np.uint8))
        assert list(table.columns) == judge.metadata.get_output_schema().input_names()
        assert generator.input_example["n"].tolist() == [1]
        np.testing.assert_array_equal(judge.input_example, np.full((1, 1, SIDE, SIDE), 100))


def test_same_input_registers_the_same_bytes(in_project: Registration, second: Registration) -> None:
    """A second registration creates new versions with the same bytes; registered.json differs only in ids and why."""
    first_folder, second_folder = (resolve_model(f"models:/synthcxr-generator/{number}").path for number in (1, 2))
    for path in first_folder.iterdir():
        assert path.read_bytes() == (second_folder / path.name).read_bytes()
    assert second.result["versions"] == dict.fromkeys(NAMES, "2")
    why = f"{in_project.result['why']}; not worse than the champion in distance.judge.relative"
    assert second.result["why"] == why
    changing = {"run_id", "versions", "why"}
    assert set(in_project.result) == set(second.result) == {*changing, "champion", "tracking_uri_kind"}
    for key in ("champion", "tracking_uri_kind"):
        assert in_project.result[key] == second.result[key]


def test_failed_gate_leaves_a_candidate_only(in_project: Registration, third: Registration) -> None:
    """A failed verdict registers a candidate with the reason; the previous champion stays."""
    assert third.result["champion"] is False
    assert third.result["why"] == "failed: distance.judge.relative 3.5 (max 3)"
    assert third.result == json_files.read_json(third.arguments["out"])
    registry = open_registry()
    for name in NAMES:
        assert registry.get_aliases(name) == {"candidate": "3", "champion": "2"}
        assert registry.get_version(name, "3").tags[client.WHY_TAG] == third.result["why"]


@pytest.mark.parametrize(
    ("missing", "error", "line"),
    [
        ("results/verdict.json", DataError, "verdict.json: no such file"),
        ("models/onnx/judge.onnx", ArtifactError, "judge.onnx: "),
        ("models/judge/weights.safetensors", ArtifactError, "contains no weights"),
        ("data/synthetic/metadata.csv", DataError, "metadata.csv"),
        ("params.yaml", ConfigError, "no such parameter file"),
    ],
)
def test_missing_input_is_named_before_a_store_is_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, error: type[Exception], line: str
) -> None:
    """Missing input is one line, and no registry is created."""
    monkeypatch.delenv(tracking_uri.URI_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    arguments = write_project(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(error, match=line):
        register.run(CONFIG, **arguments)
    assert not (tmp_path / "registry").exists()
    assert not arguments["out"].exists()


@pytest.mark.parametrize("key", ["models", "dataset"])
def test_results_of_other_models_or_images_are_refused(tmp_path: Path, key: str) -> None:
    """A verdict promotes only what it evaluated; the error says to evaluate again, and no store is created."""
    arguments = write_project(tmp_path)
    metrics = json_files.read_json(arguments["results"] / "metrics.json")
    other = {"generator": "00" * 32} if key == "models" else "00" * 32
    json_files.write_json(arguments["results"] / "metrics.json", metrics | {key: other})
    with pytest.raises(ArtifactError, match="run `synthcxr evaluate`"):
        register.run(CONFIG, **arguments)
    assert not (tmp_path / "registry").exists()
