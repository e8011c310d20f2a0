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
from support.registered_project import record_evaluated_digests, write_project, write_results
from support.stub_models import SIDE

from synthcxr.config.schema import RegisterConfig, load_config
from synthcxr.data import images
from synthcxr.errors import ArtifactError, ConfigError, DataError
from synthcxr.model_files import model_folder
from synthcxr.project import packaged_files
from synthcxr.registry import client, connection, promotion_policy, resolve_model, tracking_uri
from synthcxr.stages import models as models_stage
from synthcxr.stages import register
from synthcxr.storage import json_files

NAMES = ("synthcxr-classifier", "synthcxr-generator", "synthcxr-judge")


CONFIG = RegisterConfig(experiment="phantoms")


@dataclasses.dataclass(frozen=True)
class Registered:
    """What one registration told and printed, and what it was given."""

    root: Path
    given: dict[str, Any]
    told: dict[str, Any]
    printed: str


def run_in(root: Path, given: dict[str, Any]) -> Registered:
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed), redirect_stderr(printed):
        patch.delenv(tracking_uri.URI_VARIABLE, raising=False)
        patch.setenv("DVC_STAGE", "register")
        patch.chdir(root)
        return Registered(root, given, register.run(CONFIG, **given), printed.getvalue())


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Registered:
    """A first registration, which makes the store: it takes seconds. The verdict passed."""
    root = tmp_path_factory.mktemp("project")
    return run_in(root, write_project(root))


@pytest.fixture(scope="module")
def second(first: Registered) -> Registered:
    """The same again."""
    return run_in(first.root, first.given)


@pytest.fixture(scope="module")
def third(second: Registered) -> Registered:
    """The same once more, after a gate failed."""
    shutil.rmtree(second.root / "results")
    write_results(second.root / "results", passed=False)
    record_evaluated_digests(second.root / "results", second.root / "models" / "onnx", second.root / "data" / "synthetic")
    return run_in(second.root, second.given)


@pytest.fixture
def here(first: Registered, monkeypatch: pytest.MonkeyPatch) -> Registered:
    """Stand in the project of `first`; its version 1 is read, its aliases may have moved on."""
    monkeypatch.delenv(tracking_uri.URI_VARIABLE, raising=False)
    monkeypatch.chdir(first.root)
    return first


def test_a_first_registration_makes_the_store_and_prints_nothing(here: Registered) -> None:
    """registry/mlflow.db and registry/artifacts are made, nothing else, and nothing is printed."""
    assert here.printed == ""
    assert {path.name for path in here.root.iterdir()} == {"params.yaml", "models", "results", "data", "registry"}
    assert {path.name for path in (here.root / "registry").iterdir()} == {"mlflow.db", "artifacts"}


def test_a_run_is_logged_whole(here: Registered) -> None:
    """Parameters, metrics, curves, grids, films' fingerprint and DVC tags are in one run."""
    told = here.told
    assert told["versions"] == dict.fromkeys(NAMES, "1")
    assert (told["champion"], told["tracking_uri_kind"]) == (True, "embedded")
    assert told["why"] == "passed: distance.judge.relative 3.5 (max 4)"
    client = fetch.Registry.open(tracking_uri.embedded_uri()).client
    run = client.get_run(told["run_id"])
    assert run.info.status == "FINISHED"
    settings = load_config(here.given["params"])
    for resolution, nimg in settings.train_gan.nimg.items():
        assert run.data.params[f"train_gan.nimg.{resolution}"] == str(nimg)
    assert run.data.params["prepare.sources.0.reader"] == "phantom"
    assert run.data.params["evaluate.gates.0.metric"] == settings.evaluate.gates[0].metric
    assert run.data.metrics["distance.judge.relative"] == 3.5
    assert run.data.metrics["generate.acceptance_rate"] == 1.0
    assert "phantom" not in run.data.metrics
    history = client.get_metric_history(told["run_id"], "train_gan/loss")
    assert [(point.step, point.value) for point in history] == [(0, 1.0), (100, 0.5), (200, 1 / 3)]
    assert run.data.tags["DVC_STAGE"] == "register"
    assert run.data.tags["synthcxr.training_data"] == "0123456789abcdef"
    assert [one.dataset.digest for one in run.inputs.dataset_inputs] == ["0123456789abcdef"]
    logged = {file.path for file in client.list_artifacts(told["run_id"])}
    assert {"snapshots", "metrics.json", "verdict.json", "params.yaml", "synthetic"} <= logged
    assert client.list_artifacts(told["run_id"], "snapshots")[0].path == "snapshots/grid_000001000.png"


def test_every_figure_stands_with_the_model_that_it_judges(here: Registered) -> None:
    """What evaluate found of the images judges the generator's version, a labeller's val figures its own."""
    client, held = fetch.Registry.open(tracking_uri.embedded_uri()).client, {}
    for kind in ("generator", "classifier", "judge"):
        source = client.get_model_version(f"synthcxr-{kind}", "1").source
        model = client.get_logged_model(source.removeprefix("models:/"))
        held[kind] = {metric.key: metric.value for metric in model.metrics or ()}
    assert held["generator"]["distance.judge.relative"] == 3.5
    assert any(key.startswith("classifier.val.findings.Edema") for key in held["classifier"])
    assert any(key.startswith("judge.val.findings.Edema") for key in held["judge"])
    assert not any(key.startswith("distance") for key in (*held["classifier"], *held["judge"]))


def test_the_generators_version_stands_alone(here: Registered) -> None:
    """The champion's folder holds all three models, the reference, weights to go on from and the card."""
    folder = resolve_model("models:/synthcxr-generator/1").path
    held = {path.name for path in folder.iterdir()}
    weights = {"generator.safetensors", "discriminator.safetensors", "config.json"}
    cards = {"README.md", "classifier.md", "judge.md"}
    assert held == {*model_folder.ONNX_FILES, "reference.npz", "model.json", *cards, *weights}
    assert set(model_folder.read_index(folder)["files"]) == held - {"model.json"}
    assert "Relative distance 3.5." in (folder / "README.md").read_text()
    assert "| Edema | 0.8 [0.7, 0.9] |" in (folder / "judge.md").read_text()
    judge = resolve_model("models:/synthcxr-judge/1").path
    assert {path.name for path in judge.iterdir()} == {
        *("judge.onnx", "weights.safetensors", "config.json", "README.md", "model.json")
    }
    assert "| Edema | 0.8 [0.7, 0.9] |" in (judge / "README.md").read_text()


def test_a_registered_model_is_served_by_its_address(here: Registered) -> None:
    """MLflow loads each version, takes what its signature says and gives what it promises."""
    with connection.translate_errors(tracking_uri.embedded_uri()), connection.use_tracking_uri(tracking_uri.embedded_uri()):
        import mlflow.pyfunc as pyfunc

        generator = pyfunc.load_model("models:/synthcxr-generator@champion", model_config={"device": "cpu"})
        table = generator.predict(pd.DataFrame({"label": ["Mass"], "n": [2], "seed": [1]}), params={"max_draws": 500})
        assert list(table.columns) == generator.metadata.get_output_schema().input_names()
        assert images.decode_png(table["image"][0]).shape == (SIDE, SIDE)
        judge = pyfunc.load_model("models:/synthcxr-judge/1")
        seen = judge.predict(np.zeros((2, 1, SIDE, SIDE), np.uint8))
        assert list(seen.columns) == judge.metadata.get_output_schema().input_names()
        assert generator.input_example["n"].tolist() == [1]
        np.testing.assert_array_equal(judge.input_example, np.full((1, 1, SIDE, SIDE), 100))


def test_the_same_input_registers_the_same(here: Registered, second: Registered) -> None:
    """Running again makes new versions with the same bytes, and a registered.json that differs in ids alone."""
    one, two = (resolve_model(f"models:/synthcxr-generator/{number}").path for number in (1, 2))
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes()
    assert second.told["versions"] == dict.fromkeys(NAMES, "2")
    assert second.told["why"] == f"{here.told['why']}; not worse than the champion in distance.judge.relative"
    ids = ("run_id", "versions", "why")
    assert {k: v for k, v in here.told.items() if k not in ids} == {
        k: v for k, v in second.told.items() if k not in ids
    }


def test_a_failed_gate_leaves_a_candidate_only(here: Registered, third: Registered) -> None:
    """A failed verdict registers a candidate with the reason; the champion before stays."""
    assert third.told["champion"] is False
    assert third.told["why"] == "failed: distance.judge.relative 3.5 (max 3)"
    assert third.told == json_files.read_json(third.given["out"])
    reached = fetch.Registry.open(tracking_uri.embedded_uri())
    for name in NAMES:
        assert reached.get_aliases(name) == {"candidate": "3", "champion": "2"}
        assert reached.get_version(name, "3").tags[fetch.WHY_TAG] == third.told["why"]


def test_models_are_listed_with_their_aliases(here: Registered, third: Registered) -> None:
    """`models list` names every version, newest first, with aliases and the reason; the starter is its last row."""
    rows = [row for row in models_stage.list_models() if row.address != "starter"]
    assert [row.address for row in rows] == [f"models:/{name}/{number}" for name in NAMES for number in (3, 2, 1)]
    assert [row.aliases for row in rows[:3]] == [("candidate",), ("champion",), ()]
    assert rows[0].why == "failed: distance.judge.relative 3.5 (max 3)"


def test_a_model_is_shown_with_contract_and_card(here: Registered) -> None:
    """`models show` gives the contracts that the files carry, and the card."""
    shown = models_stage.show("models:/synthcxr-generator/1")
    assert shown.name == "models:/synthcxr-generator/1"
    assert set(shown.contracts) == set(model_folder.ONNX_FILES)
    assert shown.contracts["generator.onnx"]["resolution"] == SIDE
    assert shown.card.startswith("---\n")


def test_a_pulled_model_is_whole_and_verified(here: Registered, tmp_path: Path) -> None:
    """`models pull` copies a version that then needs no registry; again it changes nothing; other contents stay."""
    out = tmp_path / "pulled"
    pulled = models_stage.pull("models:/synthcxr-generator/1", out=out)
    assert pulled.path == out
    model_folder.verify_files(out)
    assert models_stage.pull("models:/synthcxr-generator/1", out=out).note == "already there"
    (out / "judge.onnx").write_bytes(b"harmed")
    with pytest.raises(ArtifactError, match=r"judge.onnx: its sha256 differs"):
        models_stage.pull("models:/synthcxr-generator/1", out=out)
    with pytest.raises(ArtifactError, match="holds something else"):
        models_stage.pull("models:/synthcxr-judge/1", out=out)
    assert (out / "judge.onnx").read_bytes() == b"harmed"


def test_a_pull_that_was_killed_is_done_again(here: Registered, tmp_path: Path) -> None:
    """What a killed pull left beside the folder is replaced, and an empty folder is filled."""
    (tmp_path / "pulled.partial").mkdir()
    (tmp_path / "pulled.partial" / "half").write_bytes(b"")
    (tmp_path / "pulled").mkdir()
    models_stage.pull("models:/synthcxr-judge/1", out=tmp_path / "pulled")
    assert [path.name for path in tmp_path.iterdir()] == ["pulled"]
    assert not (tmp_path / "pulled" / "half").exists()
    model_folder.verify_files(tmp_path / "pulled")


@pytest.mark.parametrize(
    ("statuses", "passed", "champion", "why"),
    [
        (["passed", "not applicable"], True, True, "passed: m 1 (max 2)"),
        (["not applicable"], True, False, "no gate could be judged"),
        ([], True, False, "no gate could be judged"),
        (["passed", "failed"], False, False, "failed: m 1 (max 2)"),
        (["passed"], False, False, "failed: the verdict names no gate"),
    ],
)
def test_only_a_gate_that_passed_makes_a_champion(statuses: list[str], passed: bool, champion: bool, why: str) -> None:
    """No failed gate, and at least one that applied and passed; a verdict without evidence makes no champion."""
    gates = [{"metric": "m", "value": 1.0, "threshold": 2.0, "direction": "max", "status": one} for one in statuses]
    assert promotion_policy.decide_by_gates({"passed": passed, "gates": gates}) == (champion, why)


@pytest.mark.parametrize(
    ("harm", "error", "line"),
    [
        ("results/verdict.json", DataError, "verdict.json: no such file"),
        ("models/onnx/judge.onnx", ArtifactError, "judge.onnx: is listed in model.json but absent"),
        ("models/judge/weights.safetensors", ArtifactError, "holds no weights"),
        ("data/synthetic/metadata.csv", DataError, "holds no metadata.csv"),
        ("params.yaml", ConfigError, "no such parameter file"),
    ],
)
def test_what_is_missing_is_named_before_a_store_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str, error: type[Exception], line: str
) -> None:
    """Input that is absent is one line, and no registry is made for it."""
    monkeypatch.delenv(tracking_uri.URI_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    given = write_project(tmp_path)
    (tmp_path / harm).unlink()
    with pytest.raises(error, match=line):
        register.run(CONFIG, **given)
    assert not (tmp_path / "registry").exists()
    assert not given["out"].exists()


def test_without_registry_and_starter_nothing_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`models list` of nothing is empty, and makes no registry."""
    monkeypatch.delenv(tracking_uri.URI_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(packaged_files, "find", lambda name: None)
    assert models_stage.list_models() == ()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("other", ["models", "dataset"])
def test_results_of_other_models_or_images_register_nothing(tmp_path: Path, other: str) -> None:
    """A verdict makes a champion only of what it judged: the line says to evaluate again, and no store is made."""
    project = write_project(tmp_path)
    metrics = json_files.read_json(project["results"] / "metrics.json")
    changed = {"generator": "00" * 32} if other == "models" else "00" * 32
    json_files.write_json(project["results"] / "metrics.json", metrics | {other: changed})
    with pytest.raises(ArtifactError, match="run `synthcxr evaluate`"):
        register.run(CONFIG, **project)
    assert not (tmp_path / "registry").exists()
