"""What every request passes, the host, the page it comes from, its size; and the headers of every reply."""

from __future__ import annotations

import collections
import dataclasses
import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 16_384
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "x-robots-tag": "noindex",
    "cache-control": "no-store",
}


@dataclasses.dataclass(frozen=True)
class Origins:
    """The addresses, such as http://127.0.0.1:8765, under which readers reach the page."""

    held: frozenset[str]

    @property
    def secure(self) -> bool:
        """All of them by TLS."""
        return all(origin.startswith("https://") for origin in self.held)

    @property
    def hosts(self) -> frozenset[str]:
        """The same as Host headers."""
        return frozenset(origin.partition("://")[2] for origin in self.held)


class Guard:
    """Refuses other hosts (against rebinding of names), writes from other pages (CSRF), and bodies that are too large.

    A write must be JSON and carry an Origin of ours: no page of another site can send that, whatever its cookies.
    """

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self._app, self._origins = app, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                if self._origins.secure:
                    headers["strict-transport-security"] = "max-age=31536000"
            await send(message)

        refused = self._refused(scope)
        body = b"" if refused else await _body(receive)
        if body is None:
            refused = 413, "too large"
        if refused:
            status, why = refused
            await JSONResponse({"error": why}, status)(scope, receive, with_headers)
            return
        await self._app(scope, _again(body or b"", receive), with_headers)

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        if headers.get("host", "").lower() not in self._origins.hosts:
            return 421, "this page has another address"
        if scope["method"] in ("GET", "HEAD"):
            return None
        if headers.get("origin", "").lower() not in self._origins.held:
            return 403, "sent from another page"
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return 415, "not JSON"
        length = headers.get("content-length", "0")
        return None if length.isdigit() and int(length) <= LARGEST_BODY else (413, "too large")


async def _body(receive: Receive) -> bytes | None:
    """All of a request's body, or None as soon as it is too large."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return body
        body, more = body + message.get("body", b""), message.get("more_body", False)
        if len(body) > LARGEST_BODY:
            return None
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """What receives the body once more, and then whatever comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def once() -> Message:
        return waiting.pop() if waiting else await receive()

    return once


class Attempts:
    """Wrong codes by address: after MOST of them within PERIOD_S an address waits until they are past.

    Codes have 79 bits and cannot be guessed at any rate; this keeps the log and the machine quiet.
    """

    MOST, PERIOD_S, ADDRESSES = 10, 300.0, 10_000

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failed: collections.OrderedDict[str, list[float]] = collections.OrderedDict()

    def wait_s(self, address: str) -> int:
        """How long the address has to wait, 0 for not at all."""
        recent = [at for at in self._failed.get(address, []) if at > self._now() - self.PERIOD_S]
        return 0 if len(recent) < self.MOST else max(1, round(recent[0] + self.PERIOD_S - self._now()))

    def fail(self, address: str) -> None:
        """Count a wrong code; the address that failed longest ago is forgotten where there are too many."""
        self._failed[address] = [*self._failed.pop(address, [])[1 - self.MOST :], self._now()]
        if len(self._failed) > self.ADDRESSES:
            self._failed.popitem(last=False)
