"""Work for a local Ray of two workers, one of which dies of SIGKILL in the midst of a range, once."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from support.kill_at_each_write import make

from synthcxr.synthesis import ray_engine


@dataclasses.dataclass(frozen=True)
class Mortal:
    """Makes the work of another, which kills its process in its `at`-th range unless `mark` says that it has."""

    made: Callable[[], Callable[[Any], Any]]
    mark: Path
    at: int

    def __call__(self) -> Callable[[Any], Iterator[Any]]:
        work, done = self.made(), 0

        def mortal(task: Any) -> Iterator[Any]:
            nonlocal done
            done += 1
            for at, each in enumerate(work(task)):
                if at == 1 and done >= self.at and not self.mark.exists():
                    self.mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                yield each

        return mortal


def squares() -> Callable[[range], list[int]]:
    return lambda each: [number * number for number in each]


def work_on_numbers(mark: Path) -> None:
    """Write the results of ten ranges in their order, then what stopping early leaves."""
    ranges = [range(at, at + 3) for at in range(0, 30, 3)]
    with ray_engine.engine(Mortal(squares, mark, 2), address=None, n_workers=2, gpu=False) as run:
        every = list(run(ranges))
        early = [next(iter(run(ranges))) for _ in range(2)]
    sys.stdout.write(" ".join(map(str, every)) + "\n")
    sys.stdout.write(" ".join(map(str, early)) + "\n")


def generate(mark: Path, model: Path, out: Path, method: str, labels: str, n: str) -> None:
    """A dataset drawn by two workers."""

    def engine(kit: Any) -> Any:
        return ray_engine.engine(Mortal(kit, mark, 2), address=None, n_workers=2, gpu=False)

    asked = {"method": method, "labels": tuple(filter(None, labels.split(","))), "n": int(n)}
    make(model, out, asked, engine=engine, threads=1)


if __name__ == "__main__":
    if sys.argv[1] == "numbers":
        work_on_numbers(Path(sys.argv[2]))
    else:
        generate(*map(Path, sys.argv[2:5]), *sys.argv[5:])  # type: ignore[arg-type]
