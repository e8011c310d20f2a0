"""`synthcxr generate`: what it asks for, prints, writes and exits with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.cli_runner import invoke
from support.exported_models import write_conditional_models
from support.linear_models import write_linear_models
from support.paths import REPOSITORY
from support.stub_models import write_stub_models

from synthcxr.data.findings import FINDINGS
from synthcxr.data.synthetic_dataset import read_metadata


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of stub models: one matrix product each."""
    return write_stub_models(tmp_path_factory.mktemp("models") / "onnx")


@pytest.mark.slow
def test_without_options_it_shows_examples(empty_folder: Path) -> None:
    """`synthcxr generate` alone says that nothing was requested, and gives commands to copy."""
    result = invoke("generate")
    assert (result.exit_code, result.stdout) == (2, "")
    first, *examples = result.stderr.splitlines()
    assert first == "Error: no images requested; for example:"
    assert [line.split()[:2] for line in examples] == [["synthcxr", "generate"]] * 3
    for line in examples:
        options = line.split()[2:]
        assert invoke("generate", *options, "--dry-run").exit_code == 0, line
    assert not list(empty_folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--label", "Mass"], "missing option --n: the number of images, such as --n 100"),
        (["--n", "5", "--per-label", "5"], "--n counts all images and --per-label those of each finding"),
        (["--n", "5", "--evaluate"], "--evaluate needs --films"),
        (["--n", "5", "--reject-memorised"], "--reject-memorised needs --films"),
        (["--n", "5", "--workers", "2"], "--address and --workers need --engine ray"),
        (["--n", "5", "--label", "Scoliosis"], "unknown finding 'Scoliosis'"),
        (["--n", "5", "--model", "nowhere"], "nowhere"),
        (["--n", "5", "--only"], "--only needs --label"),
        (["--n", "5", "--only", "--without", "Mass"], "--only needs --label"),
        (["--n", "5", "--only", "--mix", "nih"], "--only: a mix already sets every finding of an image"),
        (["--per-label", "5", "--only", "--label", "Mass"], "--only: cannot be combined with --per-label"),
        (["--n", "5", "--only", "--label", "Mass", "--without", "mass"], "Mass: both requested and excluded"),
        (["--n", "5", "--view", "lateral"], "is not one of 'PA', 'AP'"),
        (["--n", "5", "--age", "70-60"], "age must be in years, such as 60-70 or 65"),
        (["--n", "5", "--only", "--label", "Mass", "--without", "No Finding"], "'No Finding' cannot be excluded"),
    ],
)
def test_a_bad_request_is_refused_before_any_work(arguments: list[str], message: str, empty_folder: Path) -> None:
    """Exit code 2, one line that says what to do, nothing written."""
    result = invoke("generate", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list(empty_folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--view", "PA"], "view: the condition of this generator has no view; remove view"),
        (["--method", "conditional"], "method conditional: the generator of this model takes no condition"),
    ],
)
def test_an_unconditional_model_refuses_conditions(
    arguments: list[str], message: str, model: Path, tmp_path: Path
) -> None:
    """Exit code 2 and one line, after the line that names the model; nothing is written."""
    result = invoke("generate", "--n", 2, "--model", model, "--out", tmp_path / "x", *arguments)
    assert result.exit_code == 2 and message in result.stderr
    assert len(result.stderr.splitlines()) == 1 and not (tmp_path / "x").exists()


def test_an_unknown_finding_lists_the_findings() -> None:
    """The error names the findings that exist."""
    result = invoke("generate", "--n", 5, "--label", "Scoliosis")
    assert "No Finding, Atelectasis" in result.stderr


def test_it_names_its_model_first(model: Path, tmp_path: Path) -> None:
    """The first line of stdout is the model; the same command again finds the dataset finished."""
    arguments = ("generate", "--n", 3, "--model", model, "--out", tmp_path / "x", "--device", "cpu")
    first, second = invoke(*arguments), invoke(*arguments)
    assert first.exit_code == second.exit_code == 0
    assert first.stdout.splitlines()[0] == f"model: {model}"
    assert len(list((tmp_path / "x" / "images").rglob("*.png"))) == 3
    assert "already finished" in second.stdout
    assert json.loads((tmp_path / "x" / "run.json").read_text())["command"][0] == "synthcxr"


def test_json_is_alone_on_stdout(model: Path, tmp_path: Path) -> None:
    """With --json stdout is one JSON value; the line that names the model goes to stderr."""
    result = invoke("generate", "--n", 2, "--model", model, "--out", tmp_path / "x", "--json", "--dry-run")
    assert json.loads(result.stdout)["status"] == "dry run"
    assert result.stderr.splitlines()[0] == f"model: {model}"
    assert not (tmp_path / "x").exists()


def test_a_dry_run_states_the_expected_time_candidates_and_disk_space(model: Path, tmp_path: Path) -> None:
    """As a line of text, and as numbers with --json."""
    request = ("generate", "--n", 20, "--model", model, "--out", tmp_path / "x", "--dry-run")
    lines = invoke(*request).stdout.splitlines()
    assert "kB" in lines[1] and lines[2].startswith("expected: about") and "20 candidates" in lines[2]
    estimate = json.loads(invoke(*request, "--json").stdout)["estimate"]
    assert (estimate["images"], estimate["candidates"], estimate["upper_bound"]) == (20, 20, False)
    assert estimate["seconds"] >= 0 and estimate["bytes"] > 20 * 1500 and estimate["measured_candidates"] >= 20


def test_the_default_folder_is_named_after_findings_and_seed(model: Path, empty_folder: Path) -> None:
    """Without --out two requests for other findings or seeds get other folders."""
    unconditional = invoke("generate", "--n", 2, "--model", model, "--dry-run")
    findings = ("--label", "edema", "--label", "Mass", "--seed", 4)
    labelled = invoke("generate", "--n", 2, "--model", model, "--dry-run", *findings)
    alone = invoke("generate", "--n", 2, "--model", model, "--dry-run", *findings, "--only")
    assert "synthetic/mass+edema-only-seed4" in alone.stdout
    assert "with Mass and Edema and no other finding" in alone.stdout
    assert "synthetic/unconditional-seed0" in unconditional.stdout
    assert "synthetic/mass+edema-seed4" in labelled.stdout


@pytest.mark.slow
def test_a_view_sex_and_age_name_the_folder_of_a_conditional_generator(tmp_path: Path, empty_folder: Path) -> None:
    """The options are part of the request and of the default folder."""
    model = write_conditional_models(tmp_path / "onnx")
    options = ("--view", "PA", "--sex", "F", "--age", "60-70", "--model", model)
    result = invoke("generate", "--n", 2, "--label", "Edema", *options, "--dry-run")
    assert "synthetic/edema-pa-f-age60-70-seed0" in result.stdout
    assert "with Edema, view PA, sex F, age 60-70" in result.stdout


def test_options_override_the_parameter_file(model: Path, tmp_path: Path) -> None:
    """--params sets the request; an option on the command line overrides it."""
    params = REPOSITORY / "params.yaml"
    arguments = ("generate", "--params", params, "--model", model, "--out", tmp_path / "x", "--dry-run", "--json")
    assert json.loads(invoke(*arguments).stdout)["requested"] == 600
    assert json.loads(invoke(*arguments, "--n", 7).stdout)["requested"] == 7


def test_a_shortfall_fails_unless_recorded(model: Path, tmp_path: Path) -> None:
    """If the candidates run out, the exit code is 1, or 0 with --record; the shorter dataset is written either way."""
    request = ("generate", "--n", 50, "--label", "Mass", "--label", "Edema", "--max-draws", 32, "--model", model)
    failed, recorded = invoke(*request, "--out", tmp_path / "a"), invoke(*request, "--out", tmp_path / "b", "--record")
    assert (failed.exit_code, recorded.exit_code) == (1, 0)
    assert failed.stderr.splitlines()[-1].startswith("Failed: ")
    assert "recorded: " in recorded.stderr
    for folder in (tmp_path / "a", tmp_path / "b"):
        assert json.loads((folder / "run.json").read_text())["complete"] is False


def test_only_excludes_every_other_finding(tmp_path: Path) -> None:
    """--only gives images with exactly the requested findings, the same again when resumed, extended or replayed."""
    folder, model = tmp_path / "x", write_linear_models(tmp_path / "model")
    request = ("--label", "cardiomegaly", "--label", "Pneumothorax", "--model", model, "--device", "cpu")
    request += ("--only", "--out", folder, "--max-draws", 2000, "--format", "png")
    first = invoke("generate", "--n", 3, *request)
    assert first.exit_code == 0, first.output
    assert "3 images of 16 px with Cardiomegaly and Pneumothorax and no other finding" in first.stdout
    assert "already finished" in invoke("generate", "--n", 3, *request).stdout
    assert invoke("generate", "--n", 5, *request, "--append").exit_code == 0
    table = read_metadata(folder)
    assert len(table) == 5 and set(table["Finding Labels"]) == {"Cardiomegaly|Pneumothorax"}
    run = json.loads((folder / "run.json").read_text())
    assert run["request"]["without"] == [name for name in FINDINGS if name not in ("Cardiomegaly", "Pneumothorax")]
    candidate, again = table["index"].iloc[-1], tmp_path / "again.png"
    assert invoke("replay", "--dataset", folder, "--index", candidate, "--out", again).exit_code == 0
    assert again.read_bytes() == (folder / table["file_name"].iloc[-1]).read_bytes()
    other = invoke("generate", "--n", 5, *[argument for argument in request if argument != "--only"])
    assert other.exit_code == 2 and "without every other finding, not none" in other.stderr


def test_only_applies_to_the_labels_of_the_parameter_file(model: Path, tmp_path: Path) -> None:
    """--only with --params excludes all findings but those of the file, however the file spells them."""
    params = tmp_path / "params.yaml"
    text = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    start = text.index("\ngenerate:")
    head, section = text[:start], text[start:]
    params.write_text(head + section.replace("labels: []", "labels: [edema]", 1), encoding="utf-8")
    result = invoke("generate", "--params", params, "--only", "--model", model, "--out", tmp_path / "x", "--dry-run")
    assert "with Edema and no other finding" in result.stdout, result.output


def test_a_set_that_cannot_be_reached_is_named_first_and_last(tmp_path: Path) -> None:
    """The others are written; stderr names the set before the work, stdout and run.json at the end; exit code 1."""
    folder, model = tmp_path / "x", write_linear_models(tmp_path / "model")
    request = ("--per-label", 4, "--label", "Edema", "--label", "Hernia", "--model", model, "--device", "cpu")
    dry = invoke("generate", *request, "--out", folder, "--dry-run")
    assert "Hernia (about 0 of 4)" in dry.stdout
    result = invoke("generate", *request, "--out", folder)
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    warning = "warning: 1 of 2 sets of findings will probably get too few images from their share of --max-draws 4000"
    assert lines[0].startswith(warning) and "Hernia (about 0 of 4)" in lines[0]
    assert lines[-1].startswith("Failed: ") and "too few for Hernia (0 of 4)" in lines[-1]
    assert "too few images of 1 of 2 sets of findings: Hernia (0 of 4)" in result.stdout.splitlines()[-1]
    assert "checks: all" in result.stdout
    run = json.loads((folder / "run.json").read_text())
    assert run["complete"] is False
    assert run["shortfall"] == [{"labels": ["Hernia"], "without": [], "requested": 4, "found": 0}]
    assert run["counts"]["draws"] == 2000 + read_metadata(folder)["index"].iloc[-1] + 1
    assert set(read_metadata(folder)["requested"]) == {"Edema"} and run["counts"]["found"] == 4
    again = invoke("generate", *request, "--out", folder, "--json", "--record")
    assert again.exit_code == 0 and json.loads(again.stdout)["shortfall"] == run["shortfall"]
    assert "recorded: " in again.stderr


def test_list_labels_prints_a_rate_for_each_finding(model: Path, empty_folder: Path) -> None:
    """--list-labels prints one line per finding and generates nothing."""
    result = invoke("generate", "--list-labels", "--n", 64, "--model", model)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1 + 15
    assert not list(empty_folder.iterdir())


def test_replay_writes_the_same_bytes(model: Path, tmp_path: Path) -> None:
    """`replay` regenerates an image of a dataset, byte for byte."""
    invoke("generate", "--n", 3, "--model", model, "--out", tmp_path / "x", "--device", "cpu")
    result = invoke("replay", "--dataset", tmp_path / "x", "--index", 1, "--out", tmp_path / "again.png")
    assert result.exit_code == 0
    (image,) = (tmp_path / "x" / "images").rglob("00000001.png")
    assert (tmp_path / "again.png").read_bytes() == image.read_bytes()


@pytest.mark.slow
def test_evaluate_judges_what_was_generated(trained: Any, tmp_path: Path) -> None:
    """--evaluate prints each gate on stdout; a failed gate exits 1, or 0 with --record."""
    params = tmp_path / "params.yaml"
    text = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    start, end = text.index("  gates:"), text.index("register:")
    gate = "  gates:\n    - {metric: distance.judge.relative, max: 0.0, min: null}\n\n"
    params.write_text(text[:start] + gate + text[end:], encoding="utf-8")
    arguments = ["generate", "--params", params, "--n", 60, "--max-draws", 60, "--model", trained.onnx]
    arguments += ["--out", tmp_path / "x", "--evaluate", "--films", trained.data, "--results", tmp_path / "results"]
    failed, recorded = invoke(*arguments), invoke(*arguments, "--record")
    assert (failed.exit_code, recorded.exit_code) == (1, 0)
    assert failed.stderr.splitlines()[-1].startswith("Failed: ")
    assert recorded.stdout.splitlines()[-1].endswith("failed.")
    assert json.loads((tmp_path / "results" / "verdict.json").read_text())["passed"] is False
