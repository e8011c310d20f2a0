"""A machine that only generates needs no torch: commands run where torch cannot be imported."""

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
from support.stub_models import write_stub_models

TORCH_PACKAGES = ("torch", "monai", "functorch", "torchgen")
RUN_WITHOUT_TORCH = """
import sys
class RefuseTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "monai"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, RefuseTorch())
from synthcxr.cli.main import main
main(sys.argv[1:])
"""
GENERATE = ("generate", "--n", "20", "--label", "Mass", "--model", "models", "--out", "x", "--device", "cpu")
OTHER_COMMANDS = (("models", "show", "models"), ("models", "pull", "models", "--out", "pulled"))
TORCH_IS_MISSING = "Error: torch is not installed; run: pip install 'synthcxr[train]'\n"


def run(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that contains models."""
    write_stub_models(tmp_path / "models")
    return tmp_path


def require_dataset(folder: Path) -> None:
    """Fail unless the dataset of GENERATE is complete."""
    assert len(list((folder / "x" / "images").rglob("*.png"))) == 20
    assert json.loads((folder / "x" / "run.json").read_text())["complete"] is True


def test_generating_where_torch_cannot_be_imported(folder: Path) -> None:
    """`synthcxr generate` works in an interpreter that refuses to import torch."""
    process = run(folder, sys.executable, "-c", RUN_WITHOUT_TORCH, *GENERATE)
    assert process.returncode == 0, process.stderr
    require_dataset(folder)


def test_a_command_that_needs_torch_says_what_to_install(folder: Path) -> None:
    """Training without torch ends in one line that names the extra, with exit code 2."""
    (folder / "params.yaml").write_text((REPOSITORY / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    process = run(folder, sys.executable, "-c", RUN_WITHOUT_TORCH, "train-gan")
    assert (process.returncode, process.stdout, process.stderr) == (2, "", TORCH_IS_MISSING)


@pytest.mark.slow
def test_latent_optimisation_needs_torch(folder: Path) -> None:
    """--method optimise without torch says what to install and leaves nothing behind."""
    process = run(folder, sys.executable, "-c", RUN_WITHOUT_TORCH, *GENERATE, "--method", "optimise")
    assert (process.returncode, process.stderr) == (2, TORCH_IS_MISSING)
    assert not (folder / "x").exists()


@pytest.mark.slow
def test_generating_in_an_environment_without_torch(folder: Path) -> None:
    """In a virtual environment without torch and its companions, generate, show and pull work."""
    environment = folder / "environment"
    venv.create(environment, symlinks=True, with_pip=False)
    (site_packages,) = (environment / "lib").glob("python*/site-packages")
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not entry.name.lower().startswith(TORCH_PACKAGES):
            (site_packages / entry.name).symlink_to(entry)
    python = environment / "bin" / "python"
    refused = run(folder, python, "-c", "import torch")
    assert refused.returncode == 1
    assert "No module named 'torch'" in refused.stderr
    for command in (GENERATE, *OTHER_COMMANDS):
        process = run(folder, python, "-m", "synthcxr", *command)
        assert process.returncode == 0, process.stderr
    require_dataset(folder)
    assert (folder / "pulled" / "generator.onnx").is_file()
