"""The command line: exit codes, one plain line an error, what goes to stdout, flags over parameters."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from ruamel.yaml import YAML
from support.paths import REPOSITORY
from support.stub_models import write_folder

from synthcxr.cli.group import RESUMABLE, Verbs
from synthcxr.cli.main import main
from synthcxr.errors import ArtifactError, GateError
from synthcxr.project import packaged_files
from synthcxr.registry import connection, tracking_uri


def call(*arguments: str | Path) -> Result:
    """What the program answers to these arguments."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


def ending(error: BaseException, *arguments: str) -> Result:
    """How a verb ends that raises `error`."""

    @click.group(cls=Verbs)
    def group() -> None:
        pass

    @group.group()
    def inner() -> None:
        pass

    for parent, name in ((group, "verb"), (group, "train-gan"), (inner, "verb")):

        @parent.command(name)
        def verb() -> None:
            raise error

    return CliRunner().invoke(group, list(arguments) or ["verb"], catch_exceptions=False)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ArtifactError("x.onnx: cut short"), 2, "Error: x.onnx: cut short"),
        (GateError("1 of 2 gates failed"), 1, "Failed: 1 of 2 gates failed"),
        (KeyboardInterrupt(), 130, "Interrupted: the same command starts over"),
        (ModuleNotFoundError(name="torch"), 2, "Error: torch is missing: pip install 'synthcxr[train]'"),
        (
            ModuleNotFoundError(name="monai.networks"),
            2,
            "Error: monai.networks is missing: pip install 'synthcxr[train]'",
        ),
        (ModuleNotFoundError(name="dvc.repo"), 2, "Error: dvc.repo is missing: pip install 'synthcxr[pipeline]'"),
        (ModuleNotFoundError(name="jinja2"), 2, "Error: jinja2 is missing: pip install 'synthcxr[report]'"),
        (OSError(errno.ENOSPC, "No space left on device", "out"), 2, "Error: out: No space left on device"),
    ],
)
def test_every_end_is_one_line(error: BaseException, code: int, line: str) -> None:
    """What a user can cause or mend ends in its exit code and one line on stderr; stdout stays empty."""
    result = ending(error)
    assert (result.exit_code, result.stderr, result.stdout) == (code, f"{line}\n", "")


@pytest.mark.parametrize(
    "arguments",
    ["--verbose verb", "verb --verbose", "--verbose inner verb", "inner --verbose verb", "inner verb --verbose"],
)
def test_verbose_adds_the_traceback(arguments: str) -> None:
    """--verbose, before the verb or after it, shows where an error came from; the plain line comes last."""
    error = ArtifactError("x.onnx: cut short")
    result = ending(error, *arguments.split())
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("Error: x.onnx: cut short\n")
    assert "Traceback" not in ending(error, *arguments.replace("--verbose", "").split()).stderr


def test_an_interruption_says_what_the_same_command_does() -> None:
    """Who trains the GAN or generates may go on; every other verb starts over, and the line says which."""
    assert ending(KeyboardInterrupt(), "train-gan").stderr == (
        "Interrupted: the same command goes on from where it stopped\n"
    )
    assert set(RESUMABLE) < set(main.commands)


@pytest.mark.parametrize("error", [ModuleNotFoundError(name="synthcxr.nowhere"), ValueError("a mistake of ours")])
def test_a_mistake_of_ours_is_not_hidden(error: Exception) -> None:
    """What no user can mend stays a traceback."""
    with pytest.raises(type(error)):
        ending(error)


def test_verbs_stand_in_the_order_of_the_data() -> None:
    """--help lists the verbs as they are run."""
    shown = call("--help").stdout
    verbs = ("init", "prepare", "train-classifier", "train-judge", "train-gan", "export", "generate", "evaluate")
    places = [
        shown.index(f"  {verb} ") for verb in (*verbs, "register", "report", "check", "disturb", "utility", "models")
    ]
    assert places == sorted(places)


def test_python_m_is_the_same_program() -> None:
    """`python -m synthcxr` answers by its own name."""
    done = subprocess.run([sys.executable, "-m", "synthcxr", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("synthcxr ")


@pytest.mark.parametrize("verb", ["prepare", "train-classifier", "train-judge", "train-gan", "export", "register"])
def test_without_parameters_every_stage_says_so(verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that holds nothing a stage names the file it wants, and writes nothing."""
    monkeypatch.chdir(tmp_path)
    result = call(verb)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "Error: params.yaml: no such parameter file; `synthcxr init` writes one\n"
    assert not list(tmp_path.iterdir())


def test_what_judges_needs_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a params.yaml the starter's parameters are taken, and the line names what is truly missing."""
    monkeypatch.chdir(tmp_path)
    result = call("report")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: results: holds no metrics.json; run `synthcxr evaluate` first\n",
    )
    assert not list(tmp_path.iterdir())


def test_an_unknown_label_lists_the_labels(tmp_path: Path) -> None:
    """`--label` of no finding: exit 2 and the findings there are."""
    result = call("generate", "--n", "5", "--label", "Scoliosis", "--out", tmp_path / "x")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: unknown finding 'Scoliosis'; known: No Finding, Atelectasis")
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_how_many_must_be_said() -> None:
    """Neither --n nor --params: a use error."""
    assert call("generate").exit_code == 2
    assert "--n 100" in call("generate").stderr


def test_evaluate_needs_something_to_hold_against() -> None:
    """--evaluate without --reference is refused before any image is made."""
    result = call("generate", "--n", "5", "--evaluate")
    assert result.exit_code == 2
    assert "--reference" in result.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stand-ins for the models: one matrix product each."""
    return write_folder(tmp_path_factory.mktemp("models") / "onnx")


def test_generate_names_its_model_first(model: Path, tmp_path: Path) -> None:
    """The first line of stdout is the model; the images are there; the same command again has nothing to do."""
    arguments = ("generate", "--n", "3", "--model", model, "--out", tmp_path / "x", "--device", "cpu")
    first, again = call(*arguments), call(*arguments)
    assert first.exit_code == again.exit_code == 0
    assert first.stdout.splitlines()[0] == f"model: {model}"
    assert len(list((tmp_path / "x" / "images").rglob("*.png"))) == 3
    assert "already finished" in again.stdout
    assert json.loads((tmp_path / "x" / "run.json").read_text())["command"][0] == "synthcxr"


def test_json_stands_alone_on_stdout(model: Path, tmp_path: Path) -> None:
    """With --json, stdout is one JSON value and the model's line goes to stderr."""
    result = call("generate", "--n", "2", "--model", model, "--out", tmp_path / "x", "--json", "--dry-run")
    assert json.loads(result.stdout)["status"] == "dry run"
    assert result.stderr.splitlines()[0] == f"model: {model}"
    assert not (tmp_path / "x").exists()


def test_a_dataset_has_a_folder_of_its_own(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --out the folder is named for findings and seed, so that two requests never collide."""
    monkeypatch.chdir(tmp_path)
    plain = call("generate", "--n", "2", "--model", model, "--dry-run")
    wanted = call(
        "generate", "--n", "2", "--model", model, "--dry-run", "--label", "edema", "--label", "Mass", "--seed", "4"
    )
    assert "synthetic/unconditional-seed0" in plain.stdout
    assert "synthetic/mass+edema-seed4" in wanted.stdout


def test_flags_override_the_parameter_file(model: Path, tmp_path: Path) -> None:
    """--params gives the section `generate`; a flag beats it."""
    params = REPOSITORY / "params.yaml"
    arguments = ("generate", "--params", params, "--model", model, "--out", tmp_path / "x", "--dry-run", "--json")
    assert json.loads(call(*arguments).stdout)["requested"] == 600
    assert json.loads(call(*arguments, "--n", "7").stdout)["requested"] == 7


def test_draws_that_run_out_fail_unless_recorded(model: Path, tmp_path: Path) -> None:
    """Too few candidates: exit 1 with the shorter set in place; with --record the same and exit 0."""
    asked = ("generate", "--n", "50", "--label", "Mass", "--label", "Edema", "--max-draws", "32", "--model", model)
    failed, recorded = call(*asked, "--out", tmp_path / "a"), call(*asked, "--out", tmp_path / "b", "--record")
    assert (failed.exit_code, recorded.exit_code) == (1, 0)
    assert failed.stderr.splitlines()[-1].startswith("Failed: ")
    assert "recorded: " in recorded.stderr
    for folder in (tmp_path / "a", tmp_path / "b"):
        assert json.loads((folder / "run.json").read_text())["complete"] is False


def test_no_model_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that leads nowhere: exit 2, one line, nothing written."""
    monkeypatch.chdir(tmp_path)
    result = call("generate", "--n", "2", "--model", "nowhere")
    assert (result.exit_code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_init_says_what_it_took_and_what_to_type(tmp_path: Path) -> None:
    """The reader first, the commands to type last."""
    result = call("init", tmp_path / "project", "--profile", "phantom")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("reader: phantom")
    at = lines.index("now type:")
    assert [line.split()[0] for line in lines[at + 1 :]] == ["cd", "dvc", "synthcxr"]


def test_lock_says_what_changed(tmp_path: Path) -> None:
    """The first lock names the stages, the second says that nothing changed."""
    out = tmp_path / "synthcxr.lock"
    assert "prepare" in call("lock", "--out", out).stdout
    assert call("lock", "--out", out).stdout == f"{out}: up to date\n"


def test_training_reaches_mlflow_as_it_goes(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a folder has a registry, `train-judge` writes its epochs to a run there."""
    monkeypatch.delenv(tracking_uri.VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    client = connection.connect(tracking_uri.embedded(), create=True)
    yaml = YAML()
    settings = yaml.load(REPOSITORY / "params.yaml")
    settings["train_judge"] |= {"resolution": 8, "width": 4, "n_epochs": 2, "n_bootstrap": 1}
    yaml.dump(settings, tmp_path / "params.yaml")
    result = call("train-judge", "--data", trained.data)
    assert (result.exit_code, result.stderr) == (0, "")
    (experiment,) = (one for one in client.search_experiments() if one.name == "synthcxr")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["train_judge.width"] == "4"
    history = client.get_metric_history(run.info.run_id, "train_judge/val_loss")
    logged = (tmp_path / "results" / "train_judge.csv").read_text().splitlines()[1:]
    assert [(str(metric.step), metric.value) for metric in history] == [
        (row.split(",")[0], float(row.split(",")[2])) for row in logged
    ]


def test_generate_and_judge_at_once(trained: Any, tmp_path: Path) -> None:
    """--evaluate judges what was just made: each gate on stdout, exit 1 where one fails, 0 with --record."""
    params = tmp_path / "params.yaml"
    text = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    gates = text.index("  gates:"), text.index("register:")
    gate = "  gates:\n    - {metric: distance.judge.relative, max: 0.0, min: null}\n\n"
    params.write_text(text[: gates[0]] + gate + text[gates[1] :], encoding="utf-8")
    arguments = ["generate", "--params", params, "--n", "60", "--max-draws", "60", "--model", trained.onnx]
    arguments += ["--out", tmp_path / "x", "--evaluate", "--reference", trained.data, "--results", tmp_path / "results"]
    failed, recorded = call(*arguments), call(*arguments, "--record")
    assert (failed.exit_code, recorded.exit_code) == (1, 0)
    assert failed.stderr.splitlines()[-1].startswith("Failed: 1 of 1 gates failed: distance.judge.relative is ")
    assert recorded.stdout.splitlines()[-1].endswith("asked: failed.")
    assert json.loads((tmp_path / "results" / "verdict.json").read_text())["passed"] is False


def test_keeping_copies_out_needs_the_films(empty_folder: Path) -> None:
    """--reject-memorised without the films that the model learned from is a mistake, said before any work."""
    result = call("generate", "--n", "3", "--reject-memorised")
    assert result.exit_code == 2
    assert "--reject-memorised needs --films" in result.stderr
    assert not list(empty_folder.iterdir())


def test_a_list_of_no_models_says_where_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a project `models list` says so on stderr; its JSON stays an empty list."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(packaged_files, "find", lambda name: None)
    found = CliRunner().invoke(main, ["models", "list", "--json"])
    assert (found.exit_code, found.stdout.strip()) == (0, "[]")
    assert "nothing is registered here" in found.stderr
