"""A copy of the repository with a small pipeline, a few phantoms at 16 px, and the commands that are run in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from support.paths import REPOSITORY

SIDE = 16
CHANGES: dict[str, dict[str, Any]] = {
    "prepare": {
        "sources": [{"reader": "phantom", "n_films": 330, "resolution": SIDE, "seed": 1}],
        "resolution": SIDE,
        "shares": {"train": 0.4, "judge": 0.2, "val": 0.2, "test": 0.2},
    },
    "train_classifier": {"resolution": SIDE, "width": 8, "n_epochs": 2, "n_bootstrap": 20},
    "train_judge": {"resolution": SIDE, "width": 8, "n_epochs": 2, "n_bootstrap": 20},
    "train_gan": {
        "resolution": SIDE,
        "latent": 16,
        "channels": {4: 16, 8: 16, 16: 16},
        "nimg": {4: 256, 8: 256, 16: 512},
        "fade_nimg": {8: 64, 16: 128},
        "batch": {4: 16, 8: 16, 16: 16},
        "precision": "fp32",
        "report_nimg": 128,
        "checkpoint_nimg": 256,
        "snapshot_nimg": 512,
    },
    "distill": {"n_pairs": 2000, "n_held": 2000, "n_led": 64, "n_measured": 64, "width": 32, "n_epochs": 4},
    "generate": {"n": 80, "max_draws": 80},
    "evaluate": {"n_bootstrap": 20, "max_label_kl": 100.0},
    "report": {"n_images": 8},
}


def write_params(path: Path, *, max_distance: float, **values: Mapping[str, Any]) -> None:
    """Write the default profile with small values, `values` by section, and one gate on the relative distance."""
    yaml = YAML(typ="safe", pure=True)
    tree = yaml.load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    for section, changes in (*CHANGES.items(), *values.items()):
        tree[section] |= changes
    tree["evaluate"]["gates"] = [{"metric": "distance.judge.relative", "max": max_distance, "min": None}]
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(tree, file)


def run(folder: Path, *command: str, **variables: str) -> str:
    """Run a command that must succeed, and return what it printed on both streams.

    If `folder` has a copy of the package, the command runs this copy. `variables` are set in its environment.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "DVC_NO_ANALYTICS": "1"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    if (folder / "synthcxr" / "__init__.py").is_file():
        environment["PYTHONPATH"] = str(folder)
    environment |= variables
    process = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout + process.stderr


def list_run_stages(output: str) -> list[str]:
    """The stages that `dvc repro` ran, by its output."""
    return re.findall(r"Running stage '(\w+)'", output)


def copy_repository(folder: Path) -> Path:
    """Copy the package and the pipeline, with small parameters, into a git repository of their own."""
    ignore = shutil.ignore_patterns("__pycache__", "tmp", "cache", "bundled_files")
    for name in ("synthcxr", ".dvc"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignore)
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copyfile(REPOSITORY / name, folder / name)
    write_params(folder / "params.yaml", max_distance=1e9)
    run(folder, "git", "init", "--quiet")
    return folder
