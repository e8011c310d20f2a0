"""The revision that a result comes from: the git commit of this folder, and the stage and experiment that DVC runs."""

from __future__ import annotations

import os
import subprocess

DVC_VARIABLES = ("DVC_STAGE", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV")
DVC_ROOT = "DVC_ROOT"
GIT_TIMEOUT_S = 10


def read_git_commit() -> tuple[str, bool]:
    """Return the commit of this folder, "" outside a repository, and whether tracked files have changed since."""
    commit = _run_git("rev-parse", "HEAD")
    return commit, bool(commit and _run_git("status", "--porcelain", "--untracked-files=no"))


def read_dvc_variables() -> dict[str, str]:
    """Return the environment variables that DVC sets for a stage, without the path of the project."""
    return {name: value for name in DVC_VARIABLES if (value := os.environ.get(name))}


def build_run_tags() -> dict[str, str]:
    """Return MLflow run tags: `mlflow.source.git.commit`, `synthcxr.git_dirty`, the DVC variables and DVC_ROOT."""
    commit, is_dirty = read_git_commit()
    git_tags = {"mlflow.source.git.commit": commit, "synthcxr.git_dirty": str(is_dirty).lower()} if commit else {}
    root = os.environ.get(DVC_ROOT)
    return read_dvc_variables() | git_tags | ({DVC_ROOT: root} if root else {})


def _run_git(*arguments: str) -> str:
    """Return the output of git, or "" without git, a repository or a commit."""
    try:
        process = subprocess.run(
            ["git", *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return process.stdout.strip()
