"""`synthcxr init` and `lock` as they are typed, and commands outside a project."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from support.cli_runner import invoke


def test_init_prints_the_reader_and_the_next_commands(tmp_path: Path) -> None:
    """The first line names the reader, the last lines are commands to copy."""
    result = invoke("init", tmp_path / "project", "--profile", "phantom")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("reader: phantom")
    commands = lines[lines.index("next commands:") + 1 :]
    assert [line.split()[0] for line in commands] == ["cd", "dvc", "synthcxr"]


def test_init_says_which_option_is_missing(tmp_path: Path) -> None:
    """Without a profile, and with a reader but no films, one line names the option to add."""
    missing = invoke("init", tmp_path / "project")
    assert (missing.exit_code, missing.stdout) == (2, "")
    assert "missing option --profile" in missing.stderr
    without_source = invoke("init", tmp_path / "project", "--profile", "nih-64", "--reader", "nih")
    assert (without_source.exit_code, without_source.stdout) == (2, "")
    assert "--reader needs --source" in without_source.stderr
    assert not (tmp_path / "project").exists()


def test_init_takes_the_earlier_name_of_source(tmp_path: Path) -> None:
    """Scripts that were written for `init --films` still work, and a warning gives the present name."""
    (tmp_path / "films" / "Effusion").mkdir(parents=True)
    Image.new("L", (32, 32), 90).save(tmp_path / "films" / "Effusion" / "a.png")
    result = invoke("init", tmp_path / "project", "--profile", "nih-64", "--films", tmp_path / "films")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"reader: folder, for {tmp_path / 'films'}")
    assert "is now `init --source`" in result.stderr
    assert "--films" not in invoke("init", "--help").stdout


@pytest.mark.slow
def test_lock_says_what_changed(tmp_path: Path) -> None:
    """The first lock is new, the second says that nothing changed, and then a changed digest names its stage."""
    out = tmp_path / "synthcxr.lock"
    line = f"{out}: written for the first time, so DVC runs all 10 stages whose code it describes, except those"
    assert invoke("lock", "--out", out).stdout.startswith(line)
    assert invoke("lock", "--out", out).stdout == f"{out}: up to date\n"
    out.write_text(out.read_text().replace("  prepare: ", "  prepare: 0"))
    assert "changed for prepare; DVC runs these stages again" in invoke("lock", "--out", out).stdout


def test_report_needs_no_project(empty_folder: Path) -> None:
    """Without params.yaml the starter's parameters apply, and the error names what is really missing."""
    result = invoke("report")
    assert result.exit_code == 2
    assert "metrics.json" in result.stderr and "synthcxr evaluate" in result.stderr
    assert not list(empty_folder.iterdir())
