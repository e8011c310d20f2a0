"""The main workflow on small trained networks: generate, evaluate, register, report, each as a command."""

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


def run_synthcxr(folder: Path, *arguments: str | Path | int) -> subprocess.CompletedProcess[str]:
    """Run the command in `folder`, in a process of its own."""
    command = [sys.executable, "-m", "synthcxr", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def read_images(dataset: Path) -> dict[str, bytes]:
    return {path.relative_to(dataset).as_posix(): path.read_bytes() for path in sorted(dataset.rglob("*.png"))}


def read_metadata_files(dataset: Path) -> dict[str, bytes]:
    names = ("metadata.csv", "Data_Entry.csv", "latents.npy", "croissant.json")
    return {name: (dataset / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def common_finding(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The finding that the small generator shows most often."""
    folder = tmp_path_factory.mktemp("finding")
    process = run_synthcxr(folder, "generate", "--n", 64, "--model", trained.onnx, "--out", "x")
    assert process.returncode == 0, process.stderr
    rows = (folder / "x" / "metadata.csv").read_text(encoding="utf-8").splitlines()[1:]
    findings = [name for row in rows for name in row.split(",")[4].split("|") if name != "No Finding"]
    return max(set(findings), key=findings.count)


@pytest.mark.slow
def test_two_runs_and_a_killed_one_give_the_same_bytes(trained: Trained, common_finding: str, tmp_path: Path) -> None:
    """The same command writes the same bytes in two folders, and in a third after SIGKILL and a second run."""
    request = ("generate", "--n", "60", "--label", common_finding, "--seed", "1", "--model", str(trained.onnx))
    for name in ("one", "two"):
        process = run_synthcxr(tmp_path, *request, "--out", name)
        assert process.returncode == 0, process.stderr
    assert len(read_images(tmp_path / "one")) == 60
    assert read_images(tmp_path / "one") == read_images(tmp_path / "two")
    assert read_metadata_files(tmp_path / "one") == read_metadata_files(tmp_path / "two")

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
    resumed = run_synthcxr(tmp_path, *request, "--out", "killed")
    assert resumed.returncode == 0, resumed.stderr
    assert read_images(tmp_path / "killed") == read_images(tmp_path / "one")
    assert read_metadata_files(tmp_path / "killed") == read_metadata_files(tmp_path / "one")
    assert not partial.exists()


@pytest.mark.slow
def test_a_shortfall_leaves_a_shorter_dataset(trained: Trained, common_finding: str, tmp_path: Path) -> None:
    """Too few candidates: exit code 1, the acceptance rate, and a shorter dataset that is consistent in itself."""
    process = run_synthcxr(
        tmp_path,
        *(
            "generate",
            "--n",
            "500",
            "--label",
            common_finding,
            "--max-draws",
            "64",
            "--model",
            trained.onnx,
            "--out",
            "x",
        ),
    )
    assert process.returncode == 1, process.stderr
    assert "%" in process.stdout + process.stderr
    run = json.loads((tmp_path / "x" / "run.json").read_text(encoding="utf-8"))
    assert run["complete"] is False
    assert run["counts"]["found"] == len(read_images(tmp_path / "x")) > 0


def test_an_unknown_label_lists_the_labels(trained: Trained, tmp_path: Path) -> None:
    """An unknown finding: exit code 2, the known findings, nothing written."""
    process = run_synthcxr(tmp_path, "generate", "--n", "5", "--label", "Gout", "--model", trained.onnx, "--out", "x")
    assert process.returncode == 2
    assert "Cardiomegaly" in process.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_from_onnx_to_a_champion_and_a_report(trained: Trained, tmp_path: Path) -> None:
    """After register, `generate` uses the champion; a gate that fails in `evaluate` exits with code 1."""
    params = tmp_path / "params.yaml"
    write_params(params, max_distance=1e9, generate={"n": 200, "max_draws": 200})
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
        process = run_synthcxr(tmp_path, *step)
        assert process.returncode == 0, f"{step}: {process.stderr}"
    registered = json.loads((tmp_path / "results" / "registered.json").read_text(encoding="utf-8"))
    assert registered["champion"] is True, registered["why"]
    assert "synthcxr-generator" in process.stdout
    model = json.loads((tmp_path / "mine" / "run.json").read_text(encoding="utf-8"))["model"]
    assert model["name"] == "models:/synthcxr-generator/1"
    assert "<img" in (tmp_path / "results" / "report.html").read_text(encoding="utf-8")

    write_params(params, max_distance=0.0001)
    failed = run_synthcxr(
        tmp_path, "evaluate", "--dataset", "synthetic", "--films", trained.data, *models, "--out", "again"
    )
    assert failed.returncode == 1
    assert "0.0001" in failed.stderr
    assert json.loads((tmp_path / "again" / "verdict.json").read_text(encoding="utf-8"))["passed"] is False
