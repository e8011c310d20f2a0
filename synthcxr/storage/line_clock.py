"""The time since a command wrote its last line of progress, over all of its tasks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator


class LineClock:
    """A clock, and the time in seconds of the last line of the current command; None outside of commands."""

    def __init__(self, read_s: Callable[[], float] = time.monotonic) -> None:
        self.read_s = read_s
        self.last_line_s: float | None = None

    def note_line(self) -> None:
        """Remember that a line was written now."""
        if self.last_line_s is not None:
            self.last_line_s = self.read_s()

    @contextlib.contextmanager
    def time_command(self) -> Iterator[None]:
        """Count the time without a line from the start of a command on."""
        self.last_line_s = self.read_s()
        try:
            yield
        finally:
            self.last_line_s = None


LINE_CLOCK = LineClock()
"""The clock of this process."""
