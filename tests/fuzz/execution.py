"""Run one input of a parser, and say what came of it: accepted, refused with an error of ours, or a failure."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import random
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from fuzz import mutators
from fuzz.parser import OpenParser, Parser

from synthcxr.errors import SynthCXRError

MAX_MEMORY = 2 * 1024**3
"""Bytes that one input may use."""
_MAX_MESSAGE = 10_000


@dataclasses.dataclass(frozen=True)
class Failure:
    """What went wrong: `kind` is equal for inputs that fail at the same place, `detail` is the traceback."""

    kind: str
    detail: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of one input."""

    accepted: bool
    failure: Failure | None = None


def list_inputs(opened: OpenParser, extra: Sequence[bytes]) -> list[bytes]:
    """The inputs that are not generated: the valid examples, the seeds, and those of an extra folder."""
    return [*opened.examples, *opened.seeds, *extra]


def make_input(parser: Parser, opened: OpenParser, extra: Sequence[bytes], *, seed: int, index: int) -> bytes:
    """Return the input at `index`: an example, an extra input, or a generated one, always the same for one seed."""
    fixed = list_inputs(opened, extra)
    if index < len(fixed):
        return fixed[index]
    rng = random.Random(f"{seed} {parser.name} {index}")
    return mutators.generate_input(rng, parser.format, [*opened.examples, *opened.seeds])


def run_input(opened: OpenParser, data: bytes, *, is_example: bool = False) -> Outcome:
    """Parse one input. A valid example that is refused is a failure too, because then nothing would be tested."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened.parse(data)
    except (SynthCXRError, click.ClickException) as error:
        # The command line joins the lines of a message of click, and cuts it.
        is_of_click = isinstance(error, click.ClickException)
        message = " ".join(error.format_message().split())[:_MAX_MESSAGE] if is_of_click else str(error)
        if is_example:
            return Outcome(False, Failure("a valid example is refused", traceback.format_exc()))
        if len(message.splitlines()) > 1 or len(message) > _MAX_MESSAGE:
            return Outcome(False, Failure(_describe(error, "message is not one line"), traceback.format_exc()))
        return Outcome(False)
    except Exception as error:  # noqa: BLE001  this is what the suite looks for
        return Outcome(False, Failure(_describe(error), _format_traceback()))
    return Outcome(True)


def _describe(error: BaseException, problem: str = "") -> str:
    """The class of an error and the last line of the product that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/synthcxr/" in frame.filename] or list(frames)
    where = f"{ours[-1].filename.rpartition('/synthcxr/')[2]}:{ours[-1].lineno} {ours[-1].name}" if ours else ""
    return f"{type(error).__name__}{f' ({problem})' if problem else ''} in {where}"


def _format_traceback() -> str:
    return traceback.format_exc().encode("utf-8", "backslashreplace").decode()[-20_000:]


def save_failure(folder: Path, parser: str, data: bytes, failure: Failure) -> Path:
    """Write a failing input, named by its parser and digest, and the traceback beside it; return the input's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{parser}-{hashlib.sha256(data).hexdigest()[:8]}.bin"
    path.write_bytes(data)
    path.with_suffix(".txt").write_text(f"{failure.kind}\n\n{failure.detail}", encoding="utf-8")
    return path


@contextlib.contextmanager
def limit_memory() -> Iterator[None]:
    """Let an allocation of more than MAX_MEMORY above the present size of the process fail, where the system can."""
    if sys.platform != "linux":
        yield
        return
    import resource

    limits = resource.getrlimit(resource.RLIMIT_AS)
    size = _read_status("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (size + MAX_MEMORY, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


class MemoryMeter:
    """Measures the largest resident memory of this process while one input is parsed; Linux only, elsewhere 0."""

    def start(self) -> None:
        """Forget the largest memory so far."""
        if sys.platform == "linux":
            Path("/proc/self/clear_refs").write_text("5")
            self._start = _read_status("VmRSS")

    def read_growth(self) -> int:
        """The largest growth since `start`, in bytes."""
        return _read_status("VmHWM") - self._start if sys.platform == "linux" else 0


def _read_status(name: str) -> int:
    """A size of this process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0
