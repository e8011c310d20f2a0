"""A script that runs tasks on a local Ray with two workers; one is killed with SIGKILL during a task, once."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from support.evaluation_project import EvaluationProject
from support.kill_at_each_write import run_generate_stage

from synthcxr.synthesis.ray_engine import open_engine

TASK_TO_KILL = 2


@dataclasses.dataclass(frozen=True)
class KilledOnceWorkerSpec:
    """Makes a worker that kills its process in its second task, unless `marker` exists; it writes `marker` first."""

    make_worker: Callable[[], Callable[[Any], Any]]
    marker: Path
    after_result: int = 1

    def __call__(self) -> Callable[[Any], Iterator[Any]]:
        worker, n_tasks = self.make_worker(), 0

        def run_task(task: Any) -> Iterator[Any]:
            nonlocal n_tasks
            n_tasks += 1
            for position, result in enumerate(worker(task)):
                if position == self.after_result and n_tasks >= TASK_TO_KILL and not self.marker.exists():
                    self.marker.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                yield result

        return run_task


def make_square_worker() -> Callable[[range], list[int]]:
    return lambda numbers: [number * number for number in numbers]


def square_numbers(marker: Path) -> None:
    """Print the results of ten tasks in order, then the first result of two runs that stop early."""
    tasks = [range(start, start + 3) for start in range(0, 30, 3)]
    spec = KilledOnceWorkerSpec(make_square_worker, marker)
    with open_engine(spec, address=None, n_workers=2, gpu=False) as run_tasks:
        results = list(run_tasks(tasks))
        first_results = [next(iter(run_tasks(tasks))) for _ in range(2)]
    sys.stdout.write(" ".join(map(str, results)) + "\n")
    sys.stdout.write(" ".join(map(str, first_results)) + "\n")


def generate_dataset(marker: Path, model: Path, out: Path, method: str, labels: str, n: str) -> None:
    """Generate a dataset on two workers."""

    def engine(spec: Any) -> Any:
        return open_engine(KilledOnceWorkerSpec(spec, marker), address=None, n_workers=2, gpu=False)

    request = {"method": method, "labels": tuple(filter(None, labels.split(","))), "n": int(n)}
    run_generate_stage(model, out, request, engine=engine, threads=1)


def evaluate_dataset(marker: Path, films: Path, models: Path, dataset: Path) -> None:
    """Evaluate a dataset in the folder of `marker`, with features computed by two workers."""

    def engine(spec: Any) -> Any:
        return open_engine(KilledOnceWorkerSpec(spec, marker, after_result=0), address=None, n_workers=2, gpu=False)

    EvaluationProject(films, models, dataset, marker.parent).evaluate(engine=engine)


def print_addresses() -> None:
    """Print the addresses on which a local Ray and its processes listen."""
    with open_engine(make_square_worker, address=None, n_workers=1, gpu=False) as run_tasks:
        list(run_tasks([range(3)]))
        this = psutil.Process()
        connections = [one for process in (this, *this.children(recursive=True)) for one in process.net_connections()]
    addresses = {one.laddr.ip.removeprefix("::ffff:") for one in connections if one.status == psutil.CONN_LISTEN}
    sys.stdout.write(" ".join(sorted(addresses)) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "addresses":
        print_addresses()
    elif sys.argv[1] == "square":
        square_numbers(Path(sys.argv[2]))
    elif sys.argv[1] == "evaluate":
        evaluate_dataset(*map(Path, sys.argv[2:6]))
    else:
        generate_dataset(*map(Path, sys.argv[2:5]), *sys.argv[5:])  # type: ignore[arg-type]
