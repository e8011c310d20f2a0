from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from synthcxr.project import revision


def test_lineage_is_read_from_git_and_dvc(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit, whether tracked files changed since, and the variables that DVC sets become tags."""
    for name in revision.DVC_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(empty_folder.parent))
    assert revision.build_run_tags() == {}
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    (empty_folder / "file").write_text("1")
    for arguments in (["init", "-q"], ["add", "file"], [*who, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", *arguments], check=True)
    monkeypatch.setenv("DVC_STAGE", "register")
    found = revision.build_run_tags()
    assert len(found["mlflow.source.git.commit"]) == 40
    assert found["synthcxr.git_dirty"] == "false"
    assert found["DVC_STAGE"] == "register"
    (empty_folder / "file").write_text("2")
    assert revision.build_run_tags()["synthcxr.git_dirty"] == "true"
