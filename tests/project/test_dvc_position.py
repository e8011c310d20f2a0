"""The line that a command prints first when DVC runs it: which stage of how many, and what comes next."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cli_runner import invoke
from support.paths import REPOSITORY

from synthcxr.project.dvc_position import STAGE_VARIABLE, describe_position


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The packaged dvc.yaml in the current folder."""
    (tmp_path / "dvc.yaml").write_text((REPOSITORY / "dvc.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path / "dvc.yaml"


@pytest.mark.parametrize("prefix", ["", "dvc.yaml:", "chests/dvc.yaml:"])
def test_the_place_of_a_stage(pipeline: Path, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    """DVC gives the name alone, or after the path of a dvc.yaml."""
    monkeypatch.setenv(STAGE_VARIABLE, f"{prefix}generate")
    assert describe_position() == "stage 8 of 11 in dvc.yaml: generate; after it: evaluate, register, report"
    monkeypatch.setenv(STAGE_VARIABLE, f"{prefix}report")
    assert describe_position() == "stage 11 of 11 in dvc.yaml: report"


@pytest.mark.parametrize("text", ["", "stages: [1]", "- a", "stages: {other: {cmd: x}}", "a: [", None])
def test_without_a_known_stage_nothing_is_said(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    """Outside of DVC, without a dvc.yaml, with a damaged one, and for a stage that it lacks."""
    monkeypatch.delenv(STAGE_VARIABLE, raising=False)
    assert describe_position() == ""
    monkeypatch.setenv(STAGE_VARIABLE, "generate")
    pipeline.unlink() if text is None else pipeline.write_text(text)
    assert describe_position() == ""


def test_a_command_begins_with_its_place(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line is on stderr, before anything else; the result of the command stays alone on stdout."""
    monkeypatch.setenv(STAGE_VARIABLE, "distill")
    result = invoke("distill")
    first = "stage 7 of 11 in dvc.yaml: distill; after it: generate, evaluate, register, report"
    assert result.stderr.splitlines()[0] == first
    assert (result.exit_code, result.stdout) == (2, "")
