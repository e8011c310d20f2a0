"""Bring a project's synthcxr.lock up to the installed version, so that an upgrade reruns what it must."""

from __future__ import annotations

from pathlib import Path

import synthcxr
from synthcxr.project import import_closure


def run(*, out: Path) -> tuple[str, ...]:
    """Write the version and a digest of each stage's code to `out`; gives the names of the stages that changed."""
    held = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    text = import_closure.lock_text(synthcxr.__version__)
    out.write_text(text, encoding="utf-8")
    changed = [line for line in text.splitlines() if line.startswith("  ") and line not in held]
    return tuple(line.split(":")[0].strip() for line in changed)
