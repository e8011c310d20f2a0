"""A local Ray of two workers, one of them killed: the same datasets as one process makes."""

from __future__ import annotations

import importlib.util
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.exported_models import write_guided_folder
from support.file_digests import digest_dataset
from support.kill_at_each_write import make
from support.paths import REPOSITORY
from support.servers import free_port

from synthcxr.data import records
from synthcxr.storage import json_files

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="no ray here: pip install 'synthcxr[ray]'"),
]


def on_ray(*arguments: object) -> str:
    """What the script says; Ray's processes are the script's own, and end with it."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests"), *sys.path])}
    command = [sys.executable, str(REPOSITORY / "tests" / "on_ray.py"), *map(str, arguments)]
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
    assert digest_dataset(tmp_path / "ray") == digest_dataset(tmp_path / "here")
    counts = [json_files.read_json(tmp_path / name / records.RUN)["counts"] for name in ("ray", "here")]
    assert counts[0] == counts[1]


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[dict[str, str], int, int]]:
    """A running cluster that asks for a token: what to set, its own port and that for clients from outside."""
    inside, outside = free_port(), free_port()
    variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:  # sockets: short
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus", "2"]
        command += ["--port", str(inside), "--ray-client-server-port", str(outside), "--include-dashboard", "false"]
        head = subprocess.Popen(
            [*command, "--temp-dir", folder],
            env=os.environ | variables | {"PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert head.stdout is not None
        try:
            assert any("block forever" in line for line in head.stdout), "the cluster did not start"
            yield variables, inside, outside
        finally:
            os.killpg(head.pid, signal.SIGTERM)
            head.wait()
            head.stdout.close()


def on_cluster(address: str, model: Path, out: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The command, as one types it."""
    command = [sys.executable, "-m", "synthcxr", "generate", "--n", "700", "--seed", "1", "--model", str(model)]
    command += ["--batch", "16", "--format", "png", "--engine", "ray", "--address", address, "--out", str(out)]
    environment = os.environ | variables | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)


def test_a_running_cluster_makes_the_same(
    cluster: tuple[dict[str, str], int, int], model: Path, tmp_path: Path
) -> None:
    """Reached from inside and as a client from outside, with its token, it makes the bytes of one process here."""
    variables, inside, outside = cluster
    make(model, tmp_path / "here", {"method": "reject", "labels": (), "n": 700}, threads=1)
    for address in (f"127.0.0.1:{inside}", f"ray://127.0.0.1:{outside}"):
        out = tmp_path / address.replace("/", "")
        done = on_cluster(address, model, out, variables)
        assert done.returncode == 0, done.stderr
        assert digest_dataset(out) == digest_dataset(tmp_path / "here")


def test_no_cluster_is_one_line(model: Path, tmp_path: Path) -> None:
    """Where nobody listens Ray itself would ask for longer than this test may take."""
    address = f"127.0.0.1:{free_port()}"
    done = on_cluster(address, model, tmp_path / "out", {})
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"Error: --engine ray: no cluster at {address} (")
    assert not (tmp_path / "out").exists()
