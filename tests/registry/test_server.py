from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from synthcxr.errors import ArtifactError
from synthcxr.registry import location, publish, resolve

PublishOne = Callable[..., publish.Published]
SERVER_START_S = 240  # seconds where cores are free, minutes where they are not


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_server_that_is_down_is_one_line_in_seconds(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that nobody runs is said within seconds, not after MLflow's minutes of retries, without its password."""
    monkeypatch.setenv(location.VARIABLE, f"http://user:secret@127.0.0.1:{free_port()}")
    began = time.monotonic()
    with pytest.raises(ArtifactError, match="nobody answers; start the server") as caught:
        resolve(None)
    assert time.monotonic() - began < 5
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_accepts_and_says_nothing_is_given_up(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that hangs is given up after the probe's time."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        monkeypatch.setenv(location.VARIABLE, f"http://127.0.0.1:{listening.getsockname()[1]}")
        with pytest.raises(ArtifactError, match="no answer in time"):
            resolve(None)


@pytest.fixture
def server(tmp_path: Path, empty_store: Path) -> Iterator[str]:
    """A real `mlflow server` on loopback that serves its artifacts itself, ended with its workers after the test."""
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copyfile(empty_store, folder / "mlflow.db")
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files")]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *stores], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_healthy(url: str, process: subprocess.Popen[bytes]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + SERVER_START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        try:
            opener.open(url, timeout=1).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(url)


@pytest.mark.slow
def test_a_real_server_takes_and_gives_the_same_bytes(
    server: str,
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    publish_one: PublishOne,
) -> None:
    """Models go to a server and come back verified into the cache, which mends itself; nothing is made here."""
    monkeypatch.setenv(location.VARIABLE, server)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    published = publish_one(champion=True)
    assert published.tracking_uri_kind == "server"
    found = resolve(None)
    assert found.name == "models:/synthcxr-generator/1"
    assert found.path.is_relative_to(tmp_path / "cache")
    wanted = (tmp_path / "models0" / "generator.onnx").read_bytes()
    assert (found.path / "generator.onnx").read_bytes() == wanted
    (found.path / "generator.onnx").write_bytes(b"harmed")
    assert (resolve(None).path / "generator.onnx").read_bytes() == wanted
    assert resolve(f"runs:/{published.run_id}/generator").path == found.path
    assert [path.name for path in found.path.parent.iterdir()] == [found.path.name]
    assert list(project.iterdir()) == []
    assert capfd.readouterr().out == ""
