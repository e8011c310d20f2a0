"""Run tasks on the processes of a Ray cluster, or of a local Ray, and return the results in task order.

Ray restarts a worker process that dies, and runs its task again. This module knows nothing about images.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import tempfile
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import ray
from ray import exceptions
from ray._private import ray_constants

from synthcxr.errors import ArtifactError, ConfigError, SynthCXRError
from synthcxr.storage import stop_signals
from synthcxr.storage.cores import count_usable_cores
from synthcxr.storage.progress import print_line

T = TypeVar("T")
R = TypeVar("R")
MakeWorker = Callable[[], Callable[[T], Iterable[R]]]
RunTasks = Callable[[Iterable[T]], Iterator[R]]

MAX_TASKS_PER_WORKER = 3
"""Unfinished or undelivered tasks per worker: one that runs, one in the queue, one whose result waits for its turn."""

CONNECT_TIMEOUT_S = 5.0
"""How long a cluster's port may take to accept a connection; Ray's own attempts take many minutes."""

_LOOPBACK = "127.0.0.1"

MAX_TASK_RETRIES = 10
"""How often a task whose worker died runs again; the limit stops a task that kills every worker."""


class _WorkerProcess:
    """A process that makes its worker once, and then runs one task after another."""

    def __init__(self) -> None:
        self._worker: Callable[[Any], Iterable[Any]] | None = None

    def run(self, make_worker: MakeWorker[Any, Any], task: Any) -> list[Any]:
        """All results of one task. `make_worker` comes with every task, so that a restarted process has it too."""
        self._worker = self._worker or make_worker()
        return list(self._worker(task))


@contextlib.contextmanager
def open_engine(
    make_worker: MakeWorker[T, R], *, address: str | None, n_workers: int | None, gpu: bool
) -> Iterator[RunTasks[T, R]]:
    """Start workers and give a function from tasks to their results, in task order.

    Each worker calls `make_worker` once. `n_workers` None starts one worker per core, or per GPU. `address` is that of
    a running cluster; without one, this starts a Ray on this machine and stops it afterwards. ConfigError if the
    cluster cannot be reached or has no resource for a worker.
    """
    with contextlib.redirect_stdout(sys.stderr), _connect(address, n_workers), _translate_ray_errors():
        n_available = int(ray.cluster_resources().get("GPU" if gpu else "CPU", 0))
        if n_available < 1:
            raise ConfigError(f"--engine ray: the cluster has no {'GPU' if gpu else 'core'} for a worker; add one")
        resources = {"num_gpus": 1, "num_cpus": 0} if gpu else {"num_cpus": 1}
        actor = ray.remote(_WorkerProcess).options(max_restarts=-1, max_task_retries=MAX_TASK_RETRIES, **resources)
        make_worker_ref = ray.put(make_worker)
        workers = [actor.remote() for _ in range(min(n_workers or n_available, n_available))]
        try:
            yield lambda tasks: _run_in_order(workers, make_worker_ref, tasks)
        finally:
            for worker in workers:
                ray.kill(worker)


def _run_in_order(workers: list[Any], make_worker_ref: Any, tasks: Iterable[T]) -> Iterator[Any]:
    """Send each task to the least busy worker; cancel what is still queued when the caller stops."""
    remaining, queue, worker_of_pending = iter(tasks), deque[Any](), dict[Any, int]()
    try:
        while True:
            while len(queue) < MAX_TASKS_PER_WORKER * len(workers) and (task := next(remaining, None)) is not None:
                pending = list(worker_of_pending)
                finished, _ = ray.wait(pending, num_returns=len(pending), timeout=0) if pending else ([], [])
                for result_ref in finished:
                    worker_of_pending.pop(result_ref)
                loads = [list(worker_of_pending.values()).count(index) for index in range(len(workers))]
                least_busy = loads.index(min(loads))
                queue.append(workers[least_busy].run.remote(make_worker_ref, task))
                worker_of_pending[queue[-1]] = least_busy
            if not queue:
                return
            yield from ray.get(queue.popleft())
    finally:
        for result_ref in queue:
            ray.cancel(result_ref)


@contextlib.contextmanager
def _connect(address: str | None, n_workers: int | None) -> Iterator[None]:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        options |= {"include_dashboard": False, "num_cpus": n_workers or count_usable_cores()}
    else:
        _check_reachable(address)
    print_line(f"Ray: {f'connecting to {address}' if address else 'starting on this machine'}, takes seconds")
    with contextlib.ExitStack() as stack:
        if address is None:
            stack.enter_context(_listen_on_loopback())
        _start(address, options)
        try:
            yield
        finally:
            ray.shutdown()


def _start(address: str | None, options: dict[str, Any]) -> None:
    """Connect to a cluster or start a local Ray; every failure is a ConfigError of one line."""
    try:
        with stop_signals.keep_handlers():  # Ray would exit with code 15 on SIGTERM, without any clean-up of ours
            ray.init(address=address or "local", **options)
    except (ConnectionError, TimeoutError, RuntimeError, ValueError, exceptions.AuthenticationError) as error:
        reason = str(error).strip().split("\n")[0]
        hint = "; if it requires a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN" if address else ""
        raise ConfigError(f"--engine ray: no cluster at {address or 'this machine'} ({reason}){hint}") from error
    except OSError as error:  # the path of a socket is longer than the operating system allows
        if "AF_UNIX" not in str(error):
            raise
        raise ConfigError(
            f"--engine ray: the folder for temporary files has too long a path ({tempfile.gettempdir()}); set TMPDIR or"
            " RAY_TMPDIR to a shorter one, such as /tmp"
        ) from error
    if address is None and (node_ip := ray.util.get_node_ip_address()) != _LOOPBACK:
        warnings.warn(
            f"--engine ray: Ray listens on {node_ip}, not only on {_LOOPBACK}; run it behind a firewall",
            stacklevel=2,
        )


@contextlib.contextmanager
def _listen_on_loopback() -> Iterator[None]:
    """Make a local Ray use the loopback address, as Ray itself does on Windows and macOS, unless the user chose."""
    variable = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    if variable in os.environ:
        yield
        return
    previous = ray_constants.ENABLE_RAY_CLUSTER
    os.environ[variable], ray_constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
    finally:
        del os.environ[variable]
        ray_constants.ENABLE_RAY_CLUSTER = previous


def _check_reachable(address: str) -> None:
    """Raise ConfigError unless HOST:PORT or ray://HOST:PORT accepts a connection; leave other forms to Ray."""
    if not (match := re.fullmatch(r"(?:ray://)?([^/:]+):(\d+)", address)):
        return
    try:
        socket.create_connection((match[1], int(match[2])), timeout=CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"--engine ray: no cluster at {address} ({error}); start one, or correct --address"
        ) from error


@contextlib.contextmanager
def _translate_ray_errors() -> Iterator[None]:
    """Re-raise a worker's own error as it was raised, and Ray's errors as one line."""
    try:
        yield
    except exceptions.RayTaskError as error:
        if isinstance(error.cause, SynthCXRError):
            raise error.cause from None
        raise
    except exceptions.RayActorError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ArtifactError(f"--engine ray: a worker died and did not restart ({reason}); run again") from error
