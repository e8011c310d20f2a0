"""Who only generates needs no torch: shown by generating where torch cannot be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from support.paths import REPOSITORY
from support.stub_models import write_folder

TORCH = ("torch", "monai", "functorch", "torchgen")
ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "monai"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from synthcxr.cli.main import main
main(sys.argv[1:])
"""
GENERATE = ("generate", "--n", "20", "--label", "Mass", "--model", "models", "--out", "x", "--device", "cpu")
OTHERS = (("models", "show", "models"), ("models", "pull", "models", "--out", "pulled"))


def run(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that holds models, to stand in."""
    write_folder(tmp_path / "models")
    return tmp_path


def require_made(folder: Path) -> None:
    """A whole dataset of 20 images stands there."""
    assert len(list((folder / "x" / "images").rglob("*.png"))) == 20
    assert json.loads((folder / "x" / "run.json").read_text())["complete"] is True


def test_generating_where_torch_cannot_be_imported(folder: Path) -> None:
    """`synthcxr generate` does its work in an interpreter that refuses torch."""
    done = run(folder, sys.executable, "-c", ABSENT, *GENERATE)
    assert done.returncode == 0, done.stderr
    require_made(folder)


def test_a_verb_that_needs_torch_says_what_to_install(folder: Path) -> None:
    """Training there ends in one line that names the extra, exit 2."""
    (folder / "params.yaml").write_text((REPOSITORY / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    done = run(folder, sys.executable, "-c", ABSENT, "train-gan")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: torch is missing: pip install 'synthcxr[train]'\n"


@pytest.mark.slow
def test_a_search_needs_torch(folder: Path) -> None:
    """--method optimise there says what to install, in one line, and leaves nothing behind."""
    done = run(folder, sys.executable, "-c", ABSENT, *GENERATE, "--method", "optimise")
    assert done.returncode == 2
    assert done.stderr == "Error: torch is missing: pip install 'synthcxr[train]'\n"
    assert not (folder / "x").exists()


@pytest.mark.slow
def test_generating_in_an_environment_without_torch(folder: Path) -> None:
    """A virtual environment with everything but torch and what comes with it: generate, show and pull work there."""
    home = folder / "environment"
    venv.create(home, symlinks=True, with_pip=False)
    (there,) = (home / "lib").glob("python*/site-packages")
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not entry.name.lower().startswith(TORCH):
            (there / entry.name).symlink_to(entry)
    python = home / "bin" / "python"
    refused = run(folder, python, "-c", "import torch")
    assert refused.returncode == 1
    assert "No module named 'torch'" in refused.stderr
    for command in (GENERATE, *OTHERS):
        done = run(folder, python, "-m", "synthcxr", *command)
        assert done.returncode == 0, done.stderr
    require_made(folder)
    assert (folder / "pulled" / "generator.onnx").is_file()
