"""What a result came from: the git commit of this folder, and what DVC says of the stage that runs."""

from __future__ import annotations

import os
import subprocess

DVC_VARIABLES = ("DVC_STAGE", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV")
DVC_ROOT = "DVC_ROOT"
GIT_TIMEOUT_S = 10


def git() -> tuple[str, bool]:
    """The commit that this folder stands on, "" outside a repository, and whether tracked files changed since."""
    commit = _git("rev-parse", "HEAD")
    return commit, bool(commit and _git("status", "--porcelain", "--untracked-files=no"))


def dvc() -> dict[str, str]:
    """The variables that DVC gives a stage, those that are set; where the project lies on this machine is none."""
    return {name: value for name in DVC_VARIABLES if (value := os.environ.get(name))}


def tags() -> dict[str, str]:
    """The same as tags of a run: `mlflow.source.git.commit`, `synthcxr.git_dirty`, the DVC variables and DVC_ROOT."""
    commit, dirty = git()
    found = {"mlflow.source.git.commit": commit, "synthcxr.git_dirty": str(dirty).lower()} if commit else {}
    root = os.environ.get(DVC_ROOT)
    return dvc() | found | ({DVC_ROOT: root} if root else {})


def _git(*arguments: str) -> str:
    """What git answers here, or "" where there is no git, no repository or no commit."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
