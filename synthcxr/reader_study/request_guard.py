"""Checks of every request (host, origin, content type, size), and the security headers of every reply."""

from __future__ import annotations

import dataclasses
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 16_384
_LONG_NUMBER = re.compile(r"[0-9]{10}")
_SECURITY_HEADERS = {
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
    """The origins, such as http://127.0.0.1:8765, at which readers open the page."""

    urls: frozenset[str]

    @property
    def use_tls(self) -> bool:
        """Whether all of them use TLS."""
        return all(url.startswith("https://") for url in self.urls)

    @property
    def hosts(self) -> frozenset[str]:
        """The values of the Host header that belong to them."""
        return frozenset(url.partition("://")[2] for url in self.urls)


class RequestGuard:
    """Rejects requests to other hosts (DNS rebinding), writes from other pages (CSRF), and bodies that are too large.

    A write must be JSON and have one of our origins in the Origin header. A page of another site cannot send that,
    whichever cookies the browser has.
    """

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self._app, self._origins = app, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_SECURITY_HEADERS)
                if self._origins.use_tls:
                    headers["strict-transport-security"] = "max-age=31536000"
            await send(message)

        rejection = self._check_headers(scope)
        body = b"" if rejection else await _read_body(receive)
        if body is None:
            rejection = 413, "the request is too large or incomplete"
        if rejection:
            status, reason = rejection
            await JSONResponse({"error": reason}, status)(scope, receive, send_with_headers)
            return
        await self._app(scope, _replay_body(body or b"", receive), send_with_headers)

    def _check_headers(self, scope: Scope) -> tuple[int, str] | None:
        """The status and reason with which to reject the request, if any."""
        headers = Headers(scope=scope)
        if headers.get("host", "").lower() not in self._origins.hosts:
            return 421, "this page has another address"
        if _LONG_NUMBER.search(scope["path"]):
            return 400, "a number in the address is too long"
        if scope["method"] in ("GET", "HEAD"):
            return None
        if headers.get("origin", "").lower() not in self._origins.urls:
            return 403, "the request is from another page"
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return 415, "the request is not JSON"
        length = headers.get("content-length", "0")
        is_valid = re.fullmatch(r"[0-9]{1,9}", length) is not None and int(length) <= MAX_BODY_BYTES
        return None if is_valid else (413, "the request is too large")


async def _read_body(receive: Receive) -> bytes | None:
    """The body of a request; None as soon as it exceeds the limit, or if the client left before its end."""
    body, has_more = b"", True
    while has_more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body, has_more = body + message.get("body", b""), message.get("more_body", False)
        if len(body) > MAX_BODY_BYTES:
            return None
    return body


def _replay_body(body: bytes, receive: Receive) -> Receive:
    """A `receive` that first returns the body that was already read."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_replayed() -> Message:
        return pending.pop() if pending else await receive()

    return receive_replayed
