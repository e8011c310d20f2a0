"""Run many inputs of every parser in worker processes, which are started again after a crash or a hang."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fuzz import execution, worker
from fuzz.execution import Failure
from fuzz.parser import MODULES, Parser
from fuzz.worker import Job

TIME_LIMIT_S = 10.0
"""The time that one input may take."""
MAX_ENDED = 20
"""A parser whose inputs ended this many processes is not tried further."""
_MIN_INPUTS = 20


@dataclasses.dataclass
class Result:
    """The counts of one parser, and its failing inputs by kind of failure."""

    parser: str
    n_accepted: int = 0
    n_refused: int = 0
    n_failed: int = 0
    wall_s: float = 0.0
    failures: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    @property
    def n_inputs(self) -> int:
        """The number of inputs that were tried."""
        return self.n_accepted + self.n_refused + self.n_failed

    def add(self, kind: str, path: str) -> None:
        """Add a failing input that was saved."""
        self.failures.setdefault(kind, []).append(path)


@dataclasses.dataclass(frozen=True)
class Options:
    """How to run: the seed, the folder for failing inputs, an extra folder of inputs or "", and the limits."""

    seed: int
    out: Path
    extra: str = ""
    n_jobs: int = 2
    time_limit_s: float = TIME_LIMIT_S
    modules: tuple[str, ...] = MODULES


def divide_inputs(n: int, parsers: Sequence[Parser]) -> dict[str, int]:
    """Divide `n` inputs among the parsers in proportion to their shares; each gets at least a few."""
    total = sum(parser.share for parser in parsers)
    return {parser.name: max(_MIN_INPUTS, round(n * parser.share / total)) for parser in parsers}


def run_parsers(
    parsers: Sequence[Parser], n: int, options: Options, on_result: Callable[[Result], None] = lambda result: None
) -> list[Result]:
    """Try `n` inputs, divided among the parsers, in `n_jobs` processes at a time."""
    counts = divide_inputs(n, parsers)
    results = []
    with concurrent.futures.ThreadPoolExecutor(options.n_jobs) as pool:
        futures = [pool.submit(run_parser, parser, counts[parser.name], options) for parser in parsers]
        for future in concurrent.futures.as_completed(futures):
            results.append(future.result())
            on_result(results[-1])
    return sorted(results, key=lambda result: result.parser)


def run_parser(parser: Parser, n: int, options: Options) -> Result:
    """Try `n` generated inputs of one parser besides its examples and the extra ones."""
    result, started_s = Result(parser.name), time.monotonic()
    n_ended, start = 0, 0
    with tempfile.TemporaryDirectory(prefix="synthcxr-fuzz-progress-") as scratch:
        folder = Path(scratch)
        (folder / worker.PROGRESS_FILE).write_bytes(worker.PROGRESS.pack(-1, 0, 0, 0))
        while n_ended < MAX_ENDED:
            job = Job(
                *(parser.name, options.modules, options.seed, start, n, options.time_limit_s),
                out=str(options.out.absolute()),
                extra=str(Path(options.extra).absolute()) if options.extra else "",
            )
            return_code, log = _run_worker(job, folder)
            progress = worker.PROGRESS.unpack((folder / worker.PROGRESS_FILE).read_bytes())
            index, result.n_accepted, result.n_refused, result.n_failed = progress
            if return_code == 0 and index == worker.FINISHED:
                break
            if index < start:
                result.n_failed += 1
                result.add("the parser cannot be opened", log[-3000:])
                break
            n_ended += 1
            failure = _describe_end(return_code, log)
            data = (folder / worker.INPUT_FILE).read_bytes()
            result.add(failure.kind, str(execution.save_failure(options.out, parser.name, data, failure)))
            start, result.n_failed = index + 1, result.n_failed + 1
            (folder / worker.PROGRESS_FILE).write_bytes(
                worker.PROGRESS.pack(index, result.n_accepted, result.n_refused, result.n_failed)
            )
        _read_failures(folder / worker.FAILURES_FILE, result)
    result.wall_s = time.monotonic() - started_s
    return result


def _run_worker(job: Job, folder: Path) -> tuple[int, str]:
    """Run one process to its end; return its exit status and what it and the watch for hangs printed."""
    log = folder / worker.LOG_FILE
    log.write_text("", encoding="utf-8")
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment = os.environ | threads | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-m", "fuzz.worker", json.dumps(dataclasses.asdict(job)), str(folder)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
        )
        try:
            return_code = process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    return return_code, log.read_text(encoding="utf-8", errors="replace")


def _describe_end(return_code: int, log: str) -> Failure:
    if "Timeout (" in log:
        return Failure("hang", log[-20_000:])
    if return_code < 0:
        return Failure(f"the process was ended by {signal.Signals(-return_code).name}", log[-20_000:])
    return Failure(f"the process ended with status {return_code}", log[-20_000:])


def _read_failures(path: Path, result: Result) -> None:
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            result.add(entry["kind"], entry["path"])
