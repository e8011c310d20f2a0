"""The process that parses the inputs of one parser: `python -m fuzz.worker ARGUMENTS`, started by fuzz.runner.

It writes the present input to `input.bin` and its progress to `progress`, so that the runner knows which input ended
the process. A failure that does not end it is one JSON line in `failures.jsonl`.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import json
import os
import struct
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

from fuzz import execution
from fuzz.execution import Failure, MemoryMeter
from fuzz.parser import load_parsers

PROGRESS = struct.Struct("<4q")
"""The index of the present input, and the numbers of accepted, refused and failed ones."""
FINISHED = 2**62
"""The index after the last input."""
PROGRESS_FILE, INPUT_FILE, FAILURES_FILE, LOG_FILE = "progress", "input.bin", "failures.jsonl", "log.txt"
MAX_SAVED = 20
"""The number of inputs that are saved of one kind of failure."""


@dataclasses.dataclass(frozen=True)
class Job:
    """The inputs of a parser from `start`: the fixed ones, and `n` generated ones; fields are JSON.

    `extra` is a folder of inputs, or "".
    """

    parser: str
    modules: tuple[str, ...]
    seed: int
    start: int
    n: int
    time_limit_s: float
    out: str
    extra: str = ""


def read_extra(folder: str) -> list[bytes]:
    """The inputs in an extra folder, by name; .txt files are the tracebacks beside them."""
    if not folder:
        return []
    return [path.read_bytes() for path in sorted(Path(folder).iterdir()) if path.is_file() and path.suffix != ".txt"]


def run_job(job: Job, folder: Path) -> None:
    """Parse the inputs of a job in order; `folder` receives the progress."""
    parser = load_parsers(job.modules)[job.parser]
    extra = read_extra(job.extra)
    with (
        tempfile.TemporaryDirectory(prefix="synthcxr-fuzz-") as scratch,
        (folder / PROGRESS_FILE).open("r+b", buffering=0) as progress,
        (folder / INPUT_FILE).open("wb", buffering=0) as current,
        (folder / FAILURES_FILE).open("a", encoding="utf-8") as failures,
        (folder / LOG_FILE).open("a", encoding="utf-8") as log,
    ):
        os.chdir(scratch)
        root = Path(scratch) / "parser"
        root.mkdir()
        opened = parser.open(root)
        meter = MemoryMeter()
        saved: dict[str, int] = {}
        _, n_accepted, n_refused, n_failed = _read_progress(progress)
        with execution.limit_memory():
            for index in range(job.start, len(execution.list_inputs(opened, extra)) + job.n):
                data = execution.make_input(parser, opened, extra, seed=job.seed, index=index)
                _write_present(progress, current, (index, n_accepted, n_refused, n_failed), data)
                meter.start()
                faulthandler.dump_traceback_later(job.time_limit_s, exit=True, file=log)
                outcome = execution.run_input(opened, data, is_example=index < len(opened.examples))
                faulthandler.cancel_dump_traceback_later()
                failure = outcome.failure
                if failure is None and meter.read_growth() > execution.MAX_MEMORY:
                    failure = Failure("memory", f"{meter.read_growth():,} bytes")
                n_accepted += failure is None and outcome.accepted
                n_refused += failure is None and not outcome.accepted
                if failure is not None:
                    n_failed += 1
                    saved[failure.kind] = saved.get(failure.kind, 0) + 1
                    if saved[failure.kind] <= MAX_SAVED:
                        path = execution.save_failure(Path(job.out), parser.name, data, failure)
                        failures.write(json.dumps({"kind": failure.kind, "path": str(path)}) + "\n")
                        failures.flush()
        progress.seek(0)
        progress.write(PROGRESS.pack(FINISHED, n_accepted, n_refused, n_failed))
        os.chdir("/")


def _read_progress(progress: BinaryIO) -> tuple[int, int, int, int]:
    values: tuple[int, int, int, int] = PROGRESS.unpack(progress.read(PROGRESS.size))
    return values


def _write_present(progress: BinaryIO, current: BinaryIO, values: tuple[int, int, int, int], data: bytes) -> None:
    progress.seek(0)
    progress.write(PROGRESS.pack(*values))
    current.seek(0)
    current.truncate()
    current.write(data)


def main() -> None:
    """Run the job that the first argument describes as JSON; the second is the folder for the progress."""
    fields = json.loads(sys.argv[1])
    faulthandler.enable()
    run_job(Job(**fields | {"modules": tuple(fields["modules"])}), Path(sys.argv[2]))


if __name__ == "__main__":
    main()
