"""What a run came from: the git commit of this folder and what DVC says of the stage that runs."""

from __future__ import annotations

import os
import subprocess

DVC_VARIABLES = ("DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV")
GIT_TIMEOUT_S = 10


def tags() -> dict[str, str]:
    """Tags of a run: `mlflow.source.git.commit`, `synthcxr.git_dirty` and the DVC variables that are set."""
    found = {name: value for name in DVC_VARIABLES if (value := os.environ.get(name))}
    commit = _git("rev-parse", "HEAD")
    if commit:
        found["mlflow.source.git.commit"] = commit
        found["synthcxr.git_dirty"] = str(bool(_git("status", "--porcelain", "--untracked-files=no"))).lower()
    return found


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
