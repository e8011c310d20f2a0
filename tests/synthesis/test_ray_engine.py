"""Generation on Ray, with a worker that is killed: the same datasets as one process generates."""

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
from typing import NamedTuple

import pytest
from support.exported_models import write_conditional_models, write_guided_models
from support.file_digests import digest_dataset
from support.kill_at_each_write import run_generate_stage
from support.loopback_server import find_free_port
from support.paths import REPOSITORY

from synthcxr.data.synthetic_dataset import RUN_FILE
from synthcxr.storage import json_files

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray: pip install 'synthcxr[ray]'"),
]


def run_ray_worker(*arguments: object) -> str:
    """Run the script and return its output; Ray's processes belong to the script and end with it."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests"), *sys.path])}
    command = [sys.executable, str(REPOSITORY / "tests" / "support" / "ray_worker.py"), *map(str, arguments)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def test_results_arrive_in_task_order_after_a_worker_dies(tmp_path: Path) -> None:
    """Each task's results arrive once and in order although a worker dies, and the caller may stop early."""
    results, first_results = run_ray_worker("square", tmp_path / "marker").splitlines()
    assert (tmp_path / "marker").exists()
    assert results.split() == [str(number * number) for number in range(30)] and first_results == "0 0"


def test_local_ray_listens_on_loopback_only() -> None:
    """No process of a local Ray opens a port on another address than 127.0.0.1."""
    assert run_ray_worker("addresses").split() == ["127.0.0.1"]


def test_long_temporary_folder_is_a_one_line_error(tmp_path: Path) -> None:
    """A folder for temporary files whose path is too long for a socket is named in one line."""
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    command = [
        sys.executable,
        "-m",
        "synthcxr",
        "generate",
        "--n",
        "1",
        "--engine",
        "ray",
        "--out",
        str(tmp_path / "out"),
    ]
    environment = os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(REPOSITORY)}
    environment.pop("RAY_TMPDIR", None)
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "set TMPDIR or RAY_TMPDIR to a shorter one" in result.stderr.splitlines()[-1]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_guided_models(tmp_path_factory.mktemp("models") / "onnx", rate=0.1)


@pytest.mark.parametrize(
    ("method", "labels", "n"),
    [("reject", "", 700), ("conditional", "Mass", 300), ("guided", "Mass", 150), ("optimise", "Mass", 300)],
)
def test_two_workers_generate_the_dataset_of_one_process(
    model: Path, tmp_path: Path, method: str, labels: str, n: int
) -> None:
    """With one worker killed, the dataset has the bytes of one process with as many threads."""
    if method == "conditional":
        model = write_conditional_models(tmp_path / "conditional")
    run_ray_worker("generate", tmp_path / "marker", model, tmp_path / "ray", method, labels, n)
    assert (tmp_path / "marker").exists()
    request = {"method": method, "labels": tuple(filter(None, labels.split(","))), "n": n}
    run_generate_stage(model, tmp_path / "local", request, threads=1)
    assert digest_dataset(tmp_path / "ray") == digest_dataset(tmp_path / "local")
    counts = [json_files.read_json(tmp_path / name / RUN_FILE)["counts"] for name in ("ray", "local")]
    assert counts[0] == counts[1]


class Cluster(NamedTuple):
    """A running cluster: the environment variables with its token, its own port, and the port of Ray clients."""

    variables: dict[str, str]
    port: int
    client_port: int


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A running cluster that requires a token."""
    port, client_port = find_free_port(), find_free_port()
    variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    # Ray's socket paths are limited in length, so the folder must have a short name.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus", "2"]
        command += ["--port", str(port), "--ray-client-server-port", str(client_port), "--include-dashboard", "false"]
        head = subprocess.Popen(
            [*command, "--temp-dir", folder],
            env=os.environ | variables | {"PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # Ray writes its messages to either, depending on its standard input
            text=True,
            start_new_session=True,
        )
        assert head.stdout is not None
        try:
            output = []
            for line in head.stdout:
                output.append(line)
                if "block forever" in line:
                    break
            else:
                pytest.fail("the cluster did not start: " + "".join(output[-20:]))
            yield Cluster(variables, port, client_port)
        finally:
            os.killpg(head.pid, signal.SIGTERM)
            head.wait()
            head.stdout.close()


def run_generate(address: str, model: Path, out: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `synthcxr generate --engine ray` on a running cluster."""
    command = [sys.executable, "-m", "synthcxr", "generate", "--n", "700", "--seed", "1", "--model", str(model)]
    command += ["--batch", "16", "--format", "png", "--engine", "ray", "--address", address, "--out", str(out)]
    environment = os.environ | variables | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)


def test_a_running_cluster_generates_the_same_dataset(cluster: Cluster, model: Path, tmp_path: Path) -> None:
    """Reached directly and as a Ray client, with its token, it gives the bytes of one process on this machine."""
    run_generate_stage(model, tmp_path / "local", {"method": "reject", "labels": (), "n": 700}, threads=1)
    for address in (f"127.0.0.1:{cluster.port}", f"ray://127.0.0.1:{cluster.client_port}"):
        out = tmp_path / address.replace("/", "")
        result = run_generate(address, model, out, cluster.variables)
        assert result.returncode == 0, result.stderr
        assert digest_dataset(out) == digest_dataset(tmp_path / "local")


def test_an_unreachable_cluster_is_one_line(model: Path, tmp_path: Path) -> None:
    """If nothing listens at the address, the error comes at once; Ray's own attempts outlast this test's limit."""
    address = f"127.0.0.1:{find_free_port()}"
    result = run_generate(address, model, tmp_path / "out", {})
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith(f"Error: --engine ray: no cluster at {address} (")
    assert not (tmp_path / "out").exists()
