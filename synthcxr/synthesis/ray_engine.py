"""Work on ranges by processes of a Ray cluster, or of this machine, with the results in the order of the ranges.

A worker that is killed is started again, by Ray, and does its range again. Knows nothing of films.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import ray
from ray import exceptions

from synthcxr.errors import ArtifactError, ConfigError, SynthCXRError

T = TypeVar("T")
R = TypeVar("R")
Make = Callable[[], Callable[[T], Iterable[R]]]
Run = Callable[[Iterable[T]], Iterator[R]]

AHEAD = 3
"""Ranges that are out for each worker: one at work, one to come, one done and waiting for its turn."""

ANSWER_S = 5.0
"""How long a cluster's port may take to answer; Ray itself would ask a silent one for many minutes."""

RETRIES = 10
"""How often a range is begun again whose worker died: one that kills every worker has to end."""


class _Worker:
    """A process that makes its work once and does it range by range."""

    def __init__(self) -> None:
        self._work: Callable[[Any], Iterable[Any]] | None = None

    def do(self, make: Make[Any, Any], task: Any) -> list[Any]:
        """All of one range's results. `make` comes with every range, so that one started again has it."""
        self._work = self._work or make()
        return list(self._work(task))


@contextlib.contextmanager
def engine(make: Make[T, R], *, address: str | None, n_workers: int | None, gpu: bool) -> Iterator[Run[T, R]]:
    """A function from ranges to their results in order, done by `n_workers` (None: one a core, or one a GPU).

    `make` is sent to every worker and called there. `address` is that of a running cluster; without one, a Ray of this
    machine's own is started and stopped. ConfigError where the cluster is not reached or has no room for a worker.
    """
    with contextlib.redirect_stdout(sys.stderr), _connected(address, n_workers), _plainly():
        there = int(ray.cluster_resources().get("GPU" if gpu else "CPU", 0))
        if there < 1:
            raise ConfigError(f"--engine ray: the cluster has no {'GPU' if gpu else 'core'} for a worker")
        needs = {"num_gpus": 1, "num_cpus": 0} if gpu else {"num_cpus": 1}
        kind = ray.remote(_Worker).options(max_restarts=-1, max_task_retries=RETRIES, **needs)
        sent = ray.put(make)
        workers = [kind.remote() for _ in range(min(n_workers or there, there))]
        try:
            yield lambda tasks: _in_order(workers, sent, tasks)
        finally:
            for worker in workers:
                ray.kill(worker)


def _in_order(workers: list[Any], make: Any, tasks: Iterable[T]) -> Iterator[Any]:
    """Each range goes to the worker that has least to do; what is no longer wanted is called off.

    `make` is where Ray holds the function that makes the work.
    """
    rest, out, busy = iter(tasks), deque[Any](), dict[Any, int]()
    try:
        while True:
            while len(out) < AHEAD * len(workers) and (task := next(rest, None)) is not None:
                done, _ = ray.wait(list(busy), num_returns=len(busy), timeout=0) if busy else ([], [])
                for each in done:
                    busy.pop(each)
                loads = [sum(at == held for held in busy.values()) for at in range(len(workers))]
                least = loads.index(min(loads))
                out.append(workers[least].do.remote(make, task))
                busy[out[-1]] = least
            if not out:
                return
            yield from ray.get(out.popleft())
    finally:
        for each in out:
            ray.cancel(each)


@contextlib.contextmanager
def _connected(address: str | None, n_workers: int | None) -> Iterator[None]:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "include_dashboard": False}
    cores = {"num_cpus": n_workers or len(os.sched_getaffinity(0))}
    if address is not None:
        _answers(address)
        quiet, cores = {name: quiet[name] for name in ("log_to_driver", "logging_level")}, {}
    try:
        ray.init(address=address or "local", **quiet, **cores)
    except (ConnectionError, TimeoutError, RuntimeError, ValueError, exceptions.AuthenticationError) as error:
        reason = str(error).strip().split("\n")[0]
        token = "; if it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN" if address else ""
        raise ConfigError(f"--engine ray: no cluster at {address or 'this machine'} ({reason}){token}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _answers(address: str) -> None:
    """Raise ConfigError unless somebody listens at HOST:PORT or ray://HOST:PORT; other forms are Ray's to judge."""
    if not (named := re.fullmatch(r"(?:ray://)?([^/:]+):(\d+)", address)):
        return
    try:
        socket.create_connection((named[1], int(named[2])), timeout=ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(f"--engine ray: no cluster at {address} ({error})") from error


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    """A worker's own error as it was raised there, and Ray's as one line."""
    try:
        yield
    except exceptions.RayTaskError as error:
        if isinstance(error.cause, SynthCXRError):
            raise error.cause from None
        raise
    except exceptions.RayActorError as error:
        raise ArtifactError(
            f"--engine ray: a worker died and does not come back ({str(error).strip().splitlines()[-1]})"
        ) from error
