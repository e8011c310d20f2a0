"""The main job on real trained networks: generate, evaluate, register, report, each by its command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.small_pipeline import write_params

if TYPE_CHECKING:
    from conftest import Trained


def synthcxr(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command in `folder` as a user does."""
    command = [sys.executable, "-m", "synthcxr", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def images(dataset: Path) -> dict[str, bytes]:
    return {path.relative_to(dataset).as_posix(): path.read_bytes() for path in sorted(dataset.rglob("*.png"))}


def others(dataset: Path) -> dict[str, bytes]:
    names = ("metadata.csv", "Data_Entry.csv", "latents.npy", "croissant.json")
    return {name: (dataset / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def finding(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A finding that the small generator reaches within a few draws."""
    folder = tmp_path_factory.mktemp("finding")
    done = synthcxr(folder, "generate", "--n", 64, "--model", trained.onnx, "--out", "x")
    assert done.returncode == 0, done.stderr
    rows = (folder / "x" / "metadata.csv").read_text(encoding="utf-8").splitlines()[1:]
    found = [name for row in rows for name in row.split(",")[4].split("|") if name != "No Finding"]
    return max(set(found), key=found.count)


@pytest.mark.slow
def test_two_runs_give_the_same_bytes_and_so_does_a_killed_one(trained: Trained, finding: str, tmp_path: Path) -> None:
    """The same command into two folders; a third is killed by SIGKILL and run again."""
    request = ("generate", "--n", "60", "--label", finding, "--seed", "1", "--model", str(trained.onnx))
    for name in ("one", "two"):
        done = synthcxr(tmp_path, *request, "--out", name)
        assert done.returncode == 0, done.stderr
    assert len(images(tmp_path / "one")) == 60
    assert images(tmp_path / "one") == images(tmp_path / "two")
    assert others(tmp_path / "one") == others(tmp_path / "two")

    child = subprocess.Popen(
        [sys.executable, "-m", "synthcxr", *request, "--out", "killed"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    partial = tmp_path / "killed.partial"
    while child.poll() is None and not list(partial.rglob("*.png")):
        time.sleep(0.001)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    again = synthcxr(tmp_path, *request, "--out", "killed")
    assert again.returncode == 0, again.stderr
    assert images(tmp_path / "killed") == images(tmp_path / "one")
    assert others(tmp_path / "killed") == others(tmp_path / "one")
    assert not partial.exists()


@pytest.mark.slow
def test_a_finding_out_of_reach_ends_with_what_was_found(trained: Trained, finding: str, tmp_path: Path) -> None:
    """Too few draws: exit 1, the acceptance rate, a shorter dataset that is complete in itself."""
    done = synthcxr(
        tmp_path,
        *("generate", "--n", "500", "--label", finding, "--max-draws", "64", "--model", trained.onnx, "--out", "x"),
    )
    assert done.returncode == 1, done.stderr
    assert "%" in done.stdout + done.stderr
    run = json.loads((tmp_path / "x" / "run.json").read_text(encoding="utf-8"))
    assert run["complete"] is False
    assert run["counts"]["found"] == len(images(tmp_path / "x")) > 0


def test_an_unknown_label_lists_the_labels(trained: Trained, tmp_path: Path) -> None:
    """Exit 2, one line, nothing written."""
    done = synthcxr(tmp_path, "generate", "--n", "5", "--label", "Gout", "--model", trained.onnx, "--out", "x")
    assert done.returncode == 2
    assert "Cardiomegaly" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_from_onnx_to_a_champion_and_a_report(trained: Trained, tmp_path: Path) -> None:
    """Generate, evaluate, register and report; then the champion is what `generate` takes, and gates exit 1 by hand."""
    params = tmp_path / "params.yaml"
    write_params(params, worst=1e9, generate={"n": 200, "max_draws": 200})
    models = ("--models", trained.onnx)
    steps = [
        ("generate", "--params", "params.yaml", "--model", trained.onnx, "--out", "synthetic", "--record"),
        ("evaluate", "--dataset", "synthetic", "--films", trained.data, *models, "--out", "results", "--record"),
        (
            *("register", *models, "--gan", trained.gan, "--classifier", trained.classifier),
            *("--judge", trained.judge, "--results", "results", "--dataset", "synthetic"),
            *("--out", "results/registered.json"),
        ),
        ("report", "--results", "results", "--dataset", "synthetic", "--out", "results/report.html"),
        ("generate", "--n", "8", "--out", "mine"),
        ("models", "list"),
    ]
    for step in steps:
        done = synthcxr(tmp_path, *step)
        assert done.returncode == 0, f"{step}: {done.stderr}"
    registered = json.loads((tmp_path / "results" / "registered.json").read_text(encoding="utf-8"))
    assert registered["champion"] is True, registered["why"]
    assert "synthcxr-generator" in done.stdout
    model = json.loads((tmp_path / "mine" / "run.json").read_text(encoding="utf-8"))["model"]
    assert model["name"] == "models:/synthcxr-generator/1"
    assert "<img" in (tmp_path / "results" / "report.html").read_text(encoding="utf-8")

    write_params(params, worst=0.0001)
    failed = synthcxr(tmp_path, "evaluate", "--dataset", "synthetic", "--films", trained.data, *models, "--out", "again")
    assert failed.returncode == 1
    assert "0.0001" in failed.stderr
    assert json.loads((tmp_path / "again" / "verdict.json").read_text(encoding="utf-8"))["passed"] is False
