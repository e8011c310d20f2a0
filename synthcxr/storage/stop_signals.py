"""Ctrl-C, SIGTERM and SIGHUP: they unwind the main thread once, or wait until a block is complete."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

GRACE_S = 30.0
"""For so long after the first signal, clean-up is not interrupted by a further one."""
_REDELIVERY_S = 0.01
_NUMBERS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class StopSignal(KeyboardInterrupt):
    """A signal asks the process to stop. It unwinds context managers as Ctrl-C does."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class StopRequest:
    """Whether a signal has arrived inside a `deferred` block."""

    def __init__(self, on_request: Callable[[], None], *, interruptible: bool) -> None:
        self.number: int | None = None
        self.on_request, self.interruptible = on_request, interruptible

    @property
    def requested(self) -> bool:
        """Whether a signal has arrived."""
        return self.number is not None

    def build_stop(self) -> StopSignal:
        """Return the exception that ends the block; SIGINT stands for a request that another process received."""
        _state.stopping_since_s = time.monotonic()
        _state.received = _state.received or signal.SIGINT
        return StopSignal(_state.received)


@dataclasses.dataclass
class _State:
    """What has arrived since the handlers were set, and the `deferred` blocks that the main thread is in."""

    installed: bool = False
    received: int | None = None
    stopping_since_s: float | None = None
    requests: list[StopRequest] = dataclasses.field(default_factory=list)


_state = _State()


def find_stop() -> int | None:
    """Return the number of the signal for which a StopSignal was raised in the current `handled` block, if any."""
    return None if _state.stopping_since_s is None else _state.received


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Raise a StopSignal in the main thread for the first signal that arrives in the block.

    Later signals are ignored for GRACE_S seconds, so that they do not interrupt clean-up. A signal that is ignored
    when the block starts stays ignored, as under nohup. Outside the main thread, and inside another such block, this
    changes nothing.
    """
    if _state.installed or threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.installed, _state.received, _state.stopping_since_s = True, None, None
    previous_hook, sys.unraisablehook = sys.unraisablehook, _handle_unraisable
    previous = {number: signal.getsignal(number) for number in _NUMBERS}
    handlers = {number: handler for number, handler in previous.items() if handler not in (signal.SIG_IGN, None)}
    try:
        for number in handlers:
            signal.signal(number, _handle)
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        sys.unraisablehook = previous_hook
        _state.installed = False


@contextlib.contextmanager
def deferred(on_request: Callable[[], None] = lambda: None, *, interruptible: bool = False) -> Iterator[StopRequest]:
    """Let a signal wait until the block ends, where it raises its StopSignal unless the block has raised already.

    `on_request` is called when the signal arrives. A second Ctrl-C ends an `interruptible` block at once. Outside the
    main thread this changes nothing.
    """
    request = StopRequest(on_request, interruptible=interruptible)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    with handled():
        _state.requests.append(request)
        try:
            yield request
        finally:
            _state.requests.remove(request)
        if request.number is not None:
            _deliver(request.number)


@contextlib.contextmanager
def keep_handlers() -> Iterator[None]:
    """Restore the handlers that a library replaces in the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _NUMBERS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:
                signal.signal(number, handler)


def _handle(number: int, _frame: FrameType | None) -> None:
    _state.received = _state.received or number
    _deliver(number)


def _deliver(number: int) -> None:
    """Raise the StopSignal of the first signal, or note it in the innermost `deferred` block."""
    now_s = time.monotonic()
    if _state.stopping_since_s is not None and now_s - _state.stopping_since_s < GRACE_S:
        return
    if _state.requests:
        request = _state.requests[-1]
        if request.number is None:
            request.number = number
            request.on_request()
            return
        if not (request.interruptible and number == signal.SIGINT):
            return
    _state.stopping_since_s = now_s
    raise StopSignal(_state.received or number)


def _handle_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """Deliver a StopSignal again that Python dropped because it was raised in a finaliser or a C callback."""
    if not isinstance(unraisable.exc_value, StopSignal):
        sys.__unraisablehook__(unraisable)
        return
    _state.stopping_since_s = None
    timer = threading.Timer(_REDELIVERY_S, _signal_main_thread, (unraisable.exc_value.number,))
    timer.daemon = True
    timer.start()


def _signal_main_thread(number: int) -> None:
    """Send a signal to the main thread: one that another thread receives does not end what it waits for."""
    main_thread = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main_thread is not None:
        signal.pthread_kill(main_thread, number)
    else:
        signal.raise_signal(number)
