"""A real `mlflow models serve` on loopback: images over HTTP, limits, simultaneous callers and bounded memory."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.loopback_server import find_free_port, wait_until_healthy
from support.paths import REPOSITORY
from support.registered_project import enter_project, write_project
from support.stub_models import SIDE

from synthcxr.config.schema import RegisterConfig
from synthcxr.data import images
from synthcxr.registry import tracking_uri
from synthcxr.stages import register
from synthcxr.storage import digests

pytestmark = pytest.mark.slow
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def post(url: str, body: dict[str, Any]) -> tuple[int, Any]:
    """POST a body as curl does; return the status and the parsed answer."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/invocations", json.dumps(body).encode(), headers)
    try:
        with OPENER.open(request, timeout=120) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def request_images(url: str, *, params: dict[str, Any] | None = None, **row: Any) -> tuple[int, Any]:
    return post(url, {"dataframe_records": [row]} | ({"params": params} if params else {}))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a registered champion."""
    root = tmp_path_factory.mktemp("served")
    with enter_project(root):
        register.run(RegisterConfig(experiment="e"), **write_project(root))
    return root


def serve(project: Path, model: str) -> Iterator[str]:
    """Run a scoring server and stop it with its workers."""
    port = find_free_port()
    command = [sys.executable, "-W", "ignore", "-m", "mlflow", "models", "serve", "--model-uri", model]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {
        tracking_uri.URI_VARIABLE: f"sqlite:///{project}/registry/mlflow.db",
        "PYTHONPATH": str(REPOSITORY),
    }
    environment["PATH"] = (
        f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # MLflow starts uvicorn by name
    )
    with (project / "log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=project, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_healthy(f"{url}/ping", process, project / "log")
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def generator(project: Path) -> Iterator[str]:
    yield from serve(project, "models:/synthcxr-generator@champion")


def test_images_are_base64_and_mistakes_are_status_400(generator: str) -> None:
    """A request returns PNGs that match their sha256; too many images or a wrong label are status 400 with our line."""
    status, answer = request_images(
        generator, label="Cardiomegaly", n=4, seed=0, params={"method": "reject", "max_draws": 500}
    )
    assert status == 200, answer
    rows = answer["predictions"]
    assert len(rows) == 4
    for row in rows:
        data = base64.b64decode(row["image"])
        assert digests.sha256_bytes(data) == row["sha256"]
        assert images.decode_png(data).shape == (SIDE, SIDE)
        assert "Cardiomegaly" in row["Finding Labels"].split("|")
    for mistake, line in (
        ({"n": 1001}, "a call must request 1 to 1000 images, not 1001"),
        ({"n": 1, "label": "Gout"}, "unknown finding 'Gout'"),
        ({"n": 1, "params": {"method": "guess"}}, "method must be auto, conditional, reject or guided"),
    ):
        status, answer = request_images(generator, **mistake)  # type: ignore[arg-type]
        assert status == 400, answer
        assert line in json.dumps(answer)


def test_simultaneous_callers_get_their_own_images(generator: str) -> None:
    """Eight simultaneous callers with their own seeds get what each gets alone, and the server's memory is bounded."""
    expected = {seed: request_images(generator, n=8, seed=seed)[1] for seed in range(8)}
    before_kib = _resident_kib(generator)
    start = time.monotonic()
    waits = []

    def call(seed: int) -> bool:
        call_start = time.monotonic()
        status, answer = request_images(generator, n=8, seed=seed % 8)
        waits.append(time.monotonic() - call_start)
        return status == 200 and answer == expected[seed % 8]

    with concurrent.futures.ThreadPoolExecutor(8) as callers:
        assert all(callers.map(call, range(64)))
    wall_s = time.monotonic() - start
    added_mib = (_resident_kib(generator) - before_kib) / 1024
    waits.sort()
    sys.stderr.write(
        f"\n64 requests of 8 images by 8 callers: {64 / wall_s:.1f} requests/s, {added_mib:.0f} MiB more,"
        f" median {statistics.median(waits):.3f} s, slowest {waits[-1]:.3f} s\n"
    )
    assert added_mib < 200


def test_classifier_is_served(project: Path) -> None:
    """Images return findings and probabilities; images of another size are status 400."""
    for url in serve(project, "models:/synthcxr-classifier@champion"):
        pixels = [[[[100] * SIDE] * SIDE]] * 2
        status, answer = post(url, {"inputs": pixels})
        assert status == 200, answer
        assert len(answer["predictions"]) == 2
        assert "p_Edema" in answer["predictions"][0]
        status, answer = post(url, {"inputs": [[[[100] * 4] * 4]]})
        assert status == 400, answer


def _resident_kib(url: str) -> int:
    """Sum the resident memory of the server's processes, which have its port in their command lines."""
    port, total = url.rpartition(":")[2], 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            if port in (status.parent / "cmdline").read_text(errors="replace").split("\0"):
                lines = [line for line in status.read_text().splitlines() if line.startswith("VmRSS")]
                total += int(lines[0].split()[1]) if lines else 0
        except OSError:
            continue
    return total
