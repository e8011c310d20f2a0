"""Ctrl-C and SIGTERM, held back until a step is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Whether someone has asked to stop."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, _signal: int, _frame: FrameType | None) -> None:
        """Note the wish; a second Ctrl-C interrupts at once."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def held_back() -> Iterator[Interruption]:
    """Turn SIGINT and SIGTERM into a flag while the block runs; outside the main thread nothing is changed."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.signal(number, interruption.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
