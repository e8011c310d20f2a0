"""Progress of long work on stderr: a bar on a terminal, elsewhere a line after 5 seconds and then every 10 seconds.

In a command, these are seconds since the last line of any task: several short tasks in a row are not silent.
"""

from __future__ import annotations

import collections
import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from types import TracebackType
from typing import Protocol, Self, TextIO, TypeVar

from tqdm import tqdm

from synthcxr.storage.line_clock import LINE_CLOCK, LineClock

FIRST_S, INTERVAL_S = 5.0, 10.0
_MIN_RATE_S = 0.5
"""A rate over a shorter time is not shown."""
RECENT_S = 30.0
"""The rate is that of at least so many of the last seconds, because other work on the machine changes it."""

T = TypeVar("T")


class Progress(Protocol):
    """A context manager that counts finished units."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def update(self, n: int = 1) -> object:
        """Count `n` more units as done."""


def open_progress(task: str, *, total: int, unit: str, initial: int = 0, enabled: bool = True) -> Progress:
    """Report `total` units of a task, `initial` of them done earlier; `unit` is a plural such as "images".

    With `enabled=False` nothing is written.
    """
    if enabled and not _has_terminal():
        return ProgressLines(task, total=total, unit=unit, initial=initial, stream=sys.stderr)
    return tqdm(
        total=total,
        initial=initial,
        desc=task,
        unit=f" {unit}",
        unit_scale=total > 100_000,
        disable=not enabled,
        leave=None,  # a bar below another one disappears when it is complete
    )


def _has_terminal() -> bool:
    """Whether stderr is a terminal that has columns: some pseudo-terminals of build servers have none."""
    if not sys.stderr.isatty():
        return False
    with contextlib.suppress(OSError, ValueError):
        return os.get_terminal_size(sys.stderr.fileno()).columns > 0
    return True


def track(items: Iterable[T], task: str, *, unit: str, total: int | None = None) -> Iterator[T]:
    """Yield the items and report how many of them are done; `total` is their number, if they have no length."""
    n_items = len(items) if isinstance(items, Sized) else 0
    with open_progress(task, total=n_items if total is None else total, unit=unit) as progress:
        for item in items:
            yield item
            progress.update()


def print_line(line: str) -> None:
    """Write a line to stderr, above any progress bar."""
    tqdm.write(line, file=sys.stderr)
    LINE_CLOCK.note_line()


class StepReport:
    """Says which of the `total` steps of a command begins."""

    def __init__(self, command: str, total: int, say: Callable[[str], None] = print_line) -> None:
        self._command, self._total, self._say, self._number = command, total, say, 0

    def begin(self, step: str) -> None:
        """Say that the next step begins."""
        self._number += 1
        self._say(f"{self._command}, step {self._number} of {self._total}: {step}")


class ProgressLines:
    """Progress in lines, one after FIRST_S and then one every INTERVAL_S seconds without a line, while work remains.

    A line that comes too early for a rate is followed by one after FIRST_S.
    """

    def __init__(
        self,
        task: str,
        *,
        total: int,
        unit: str,
        stream: TextIO,
        initial: int = 0,
        clock: LineClock = LINE_CLOCK,
    ) -> None:
        self._task, self._total, self._unit = task, total, unit
        self._stream, self._clock = stream, clock
        self._done = initial
        self._last_line_s = clock.read_s()
        self._counts = collections.deque([(self._last_line_s, initial)])
        self._wait_s = FIRST_S

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: the last line stands."""

    def update(self, n: int = 1) -> None:
        """Count `n` more units as done, and write a line where one is due."""
        self._done += n
        now_s = self._clock.read_s()
        last_line_s = self._last_line_s if self._clock.last_line_s is None else self._clock.last_line_s
        if now_s >= last_line_s + self._wait_s and self._done < self._total:
            rate = self._measure_rate(now_s)
            self._last_line_s, self._wait_s = now_s, INTERVAL_S if rate else FIRST_S
            self._clock.note_line()
            self._stream.write(self._format_line(rate) + "\n")
            self._stream.flush()
            self._counts.append((now_s, self._done))

    def _measure_rate(self, now_s: float) -> float:
        """The units per second of the last half minute, or of all the time if that is shorter; 0 if it is too short."""
        while len(self._counts) > 1 and now_s - self._counts[1][0] >= RECENT_S:
            self._counts.popleft()
        since_s, n_before = self._counts[0]
        elapsed_s = now_s - since_s
        return (self._done - n_before) / elapsed_s if elapsed_s >= _MIN_RATE_S else 0.0

    def _format_line(self, rate: float) -> str:
        line = f"{self._task}: {self._done:,} of {self._total:,} {self._unit}"
        if rate:
            line += f", {_format_rate(rate)} {self._unit}/s, {format_duration((self._total - self._done) / rate)} left"
        return line


def _format_rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def format_duration(seconds: float) -> str:
    """A duration in its two largest units, such as "45 s", "12 min 5 s" or "3 h 20 min"."""
    total_s = round(seconds)
    minutes, rest_s = divmod(total_s, 60)
    hours, rest_min = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {rest_min} min"
    return f"{minutes} min {rest_s} s" if minutes else f"{rest_s} s"
