"""The git commit and DVC variables of a run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from synthcxr.project import revision


def test_git_commit_and_dvc_variables_become_run_tags(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tags have the commit, whether tracked files have changed since, and the variables that DVC sets."""
    for name in revision.DVC_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(empty_folder.parent))
    assert revision.build_run_tags() == {}
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    (empty_folder / "file").write_text("1")
    for arguments in (["init", "-q"], ["add", "file"], [*identity, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", *arguments], check=True)
    monkeypatch.setenv("DVC_STAGE", "register")
    tags = revision.build_run_tags()
    assert len(tags["mlflow.source.git.commit"]) == 40
    assert tags["synthcxr.git_dirty"] == "false"
    assert tags["DVC_STAGE"] == "register"
    (empty_folder / "file").write_text("2")
    assert revision.build_run_tags()["synthcxr.git_dirty"] == "true"
