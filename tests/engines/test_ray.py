"""A local Ray of two workers, one of them killed: the same datasets as one process makes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from exported import write_guided_folder
from touching import digests, make

from synthcxr import records

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="no ray here: pip install 'synthcxr[ray]'"),
]


def on_ray(*arguments: object) -> str:
    """What the script says; Ray's processes are the script's own, and end with it."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests"), *sys.path])}
    command = [sys.executable, str(ROOT / "tests" / "on_ray.py"), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_results_come_in_order_and_a_killed_workers_range_again(tmp_path: Path) -> None:
    """Each range's results once, in the ranges' order, with a worker dead on the way; a caller may stop early."""
    every, early = on_ray("numbers", tmp_path / "mark").splitlines()
    assert (tmp_path / "mark").exists()
    assert every.split() == [str(number * number) for number in range(30)] and early == "0 0"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_guided_folder(tmp_path_factory.mktemp("models") / "onnx", rate=0.1)


@pytest.mark.parametrize(
    ("method", "labels", "n"), [("reject", "", 700), ("guided", "Mass", 150), ("optimise", "Mass", 300)]
)
def test_the_dataset_of_one_process(model: Path, tmp_path: Path, method: str, labels: str, n: int) -> None:
    """Drawn by two workers, one of them killed, a dataset has the bytes of one drawn here with as many threads."""
    on_ray("generate", tmp_path / "mark", model, tmp_path / "ray", method, labels, n)
    assert (tmp_path / "mark").exists()
    asked = {"method": method, "labels": tuple(filter(None, labels.split(","))), "n": n}
    make(model, tmp_path / "here", asked, threads=1)
    assert digests(tmp_path / "ray") == digests(tmp_path / "here")
    counts = [records.read_json(tmp_path / name / records.RUN)["counts"] for name in ("ray", "here")]
    assert counts[0] == counts[1]
