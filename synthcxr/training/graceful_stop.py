"""Defers Ctrl-C and SIGTERM until the current step is complete."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether a signal has requested a stop."""

    def __init__(self) -> None:
        self.requested = False

    def handle_signal(self, _signal: int, _frame: FrameType | None) -> None:
        """Record the request; a second signal interrupts at once."""
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


@contextmanager
def deferred_signals() -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM into a flag inside the block; outside the main thread, change nothing."""
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    handlers = {number: signal.signal(number, stop.handle_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
