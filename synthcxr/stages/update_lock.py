"""Update synthcxr.lock to the installed version, so that DVC reruns the stages whose code changed."""

from __future__ import annotations

from pathlib import Path

import synthcxr
from synthcxr.project import import_closure
from synthcxr.storage import guarded_files


def run(*, out: Path) -> tuple[str, ...]:
    """Write the version and the digest of each stage's code to `out`, and return the stages whose digest changed."""
    previous_lines = guarded_files.read_text(out).splitlines() if out.exists() else []
    text = import_closure.render_lock(synthcxr.__version__)
    out.write_text(text, encoding="utf-8")
    changed = [line for line in text.splitlines() if line.startswith("  ") and line not in previous_lines]
    return tuple(line.split(":")[0].strip() for line in changed)
