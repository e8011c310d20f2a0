"""The package as installed, without installing it: a folder for PYTHONPATH that carries pyproject's entry points."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def entry_points(folder: Path) -> Path:
    """Write the metadata that a wheel of this source would carry, and link the package beside it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    about = folder / f"synthcxr-{project['version']}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: synthcxr\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{name} = {at}\n" for name, at in held.items()) for group, held in groups]
    (about / "entry_points.txt").write_text("\n".join(lines))
    (folder / "synthcxr").symlink_to(ROOT / "synthcxr", target_is_directory=True)
    return folder


def run(program: str, *, at: Path, path: Path | None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in the folder `at` with `path` ahead of everything else that can be imported."""
    held = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_TRACKING"))}
    held |= {"PYTHONPATH": str(path)} if path else {}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=at,
        env=held | environment,
        capture_output=True,
        text=True,
        check=False,
    )
