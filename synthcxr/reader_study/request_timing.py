"""A time limit on requests that arrive slowly, and a limit on how many connections may wait for one."""

from __future__ import annotations

import asyncio
import collections
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_TIME_LIMIT_S = 4.0
"""Seconds from the first byte of a request, or from the connection, to the last byte of its body."""
MAX_WAITING = 128
"""Connections whose request is not complete; one more closes the one that has waited longest."""
_TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class TimedProtocol(H11Protocol):
    """HTTP/1.1 in which a client that sends its request slowly can shut nobody out."""

    waiting: ClassVar[collections.OrderedDict[TimedProtocol, None]] = collections.OrderedDict()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_request()
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_request_complete() or self.transport.is_closing():
            self._stop_waiting()
        else:
            self._wait_for_request()
            self._start_timer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():
            self._stop_waiting()
            self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _is_request_complete(self) -> bool:
        """Whether a request was received as a whole and its reply is not complete."""
        cycle = self.cycle
        return cycle is not None and not cycle.more_body and not cycle.response_complete

    def _wait_for_request(self) -> None:
        if self in self.waiting:
            return
        self.waiting[self] = None
        while len(self.waiting) > MAX_WAITING:
            next(iter(self.waiting))._close()

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(REQUEST_TIME_LIMIT_S, self._close)

    def _stop_waiting(self) -> None:
        self.waiting.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self) -> None:
        """Close the connection, with status 408 if no reply has started."""
        self._stop_waiting()
        if self.cycle is None or not self.cycle.response_started:
            self.transport.write(_TIMED_OUT)
        self.transport.close()
