"""Latency, rate, processor time and memory of a model served by MLflow on loopback to concurrent callers.

    python benchmarks/serve.py [--model registry/starter] [--label Fibrosis] [--n 8] [--callers 1 4] [--requests 4]

Each caller sends `--requests` requests with its own seeds. Processor time is that of the server processes, which
depends less on other load than wall time.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import machine
import mlflow

START_S = 600
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
TICKS = os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def serve_model(models: Path) -> Iterator[tuple[str, int]]:
    """Start a scoring server and yield its address and process group."""
    with tempfile.TemporaryDirectory() as scratch, socket.socket() as probe:
        packed = Path(scratch) / "model"
        mlflow.pyfunc.save_model(packed, loader_module="synthcxr.plugins.mlflow_model", data_path=str(models))
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        command = [sys.executable, "-W", "ignore", "-m", "mlflow", "models", "serve", "--model-uri", str(packed)]
        command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
        environment = os.environ | {"MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT": "3600"}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        with (Path(scratch) / "log").open("wb") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until_up(f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until_up(url: str) -> None:
    """Wait until the server answers."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            OPENER.open(f"{url}/ping", timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
        else:
            return
    raise TimeoutError(url)


def send_request(url: str, label: str, n: int, seed: int) -> tuple[float, int]:
    """Send a request and return its seconds and the number of images."""
    body = {"dataframe_records": [{"label": label, "n": n, "seed": seed}]}
    request = urllib.request.Request(
        f"{url}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    started = time.perf_counter()
    with OPENER.open(request, timeout=3600) as answer:
        rows = json.loads(answer.read())["predictions"]
    return time.perf_counter() - started, len(rows)


def read_usage(group: int) -> tuple[float, float]:
    """Read processor seconds and resident GB of a process group."""
    cpu_s, gb = 0.0, 0.0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                cpu_s += (int(fields[11]) + int(fields[12])) / TICKS
                gb += int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e9
    return cpu_s, gb


def measure_load(url: str, group: int, *, label: str, n: int, callers: int, requests: int) -> dict[str, object]:
    """Measure `callers` concurrent callers that send `requests` requests each."""
    before_s, started = read_usage(group)[0], time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(callers) as pool:
        answers = list(pool.map(lambda seed: send_request(url, label, n, seed), range(callers * requests)))
    wall_s, (after_s, gb) = time.perf_counter() - started, read_usage(group)
    waits_s, images = [seconds for seconds, _ in answers], sum(count for _, count in answers)
    return {
        "label": label,
        "n": n,
        "callers": callers,
        "requests": len(answers),
        "images": images,
        "images_per_s": images / wall_s,
        "median_s": statistics.median(waits_s),
        "slowest_s": max(waits_s),
        "cpu_s_an_image": (after_s - before_s) / images,
        "server_gb": gb,
        "load": os.getloadavg()[0],
    }


def main() -> None:
    """Print one row per label and number of callers and, with --out, write all rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path(__file__).parents[1] / "registry" / "starter")
    parser.add_argument("--label", nargs="+", default=["", "Fibrosis"])
    parser.add_argument("--n", type=int, default=8)
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--requests", type=int, default=4)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = []
    with serve_model(arguments.model) as (url, group):
        send_request(url, "", 1, 0)
        for label in arguments.label:
            for callers in arguments.callers:
                rows.append(
                    measure_load(url, group, label=label, n=arguments.n, callers=callers, requests=arguments.requests)
                )
                print(json.dumps(rows[-1]), flush=True)
    description = {"flags": machine.flags(), "n_cores_allowed": len(os.sched_getaffinity(0))}
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps({"machine": description, "rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
