"""The web server of a study: on this machine only, or with TLS, or behind a proxy that has TLS."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from synthcxr.errors import ConfigError
from synthcxr.reader_study.request_guard import Origins
from synthcxr.reader_study.request_timing import TimedProtocol
from synthcxr.storage import stop_signals

PrintLine = Callable[[str], None]
_BACKLOG = 128


def check_address(*, host: str, tls_cert: Path | None, tls_key: Path | None, proxy: str | None) -> None:
    """Raise ConfigError if codes and answers would travel without encryption over a network."""
    if (tls_cert is None) != (tls_key is None):
        raise ConfigError("--tls-cert and --tls-key: give both, the certificate chain and its key")
    for path in (tls_cert, tls_key):
        if path is not None and not path.is_file():
            raise ConfigError(f"{path}: no such file")
    if proxy is not None:
        parts = urlsplit(proxy)
        if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ConfigError(f"--behind-proxy: {proxy!r} is not an address such as https://study.example.org")
    if not _is_loopback(host) and tls_cert is None and proxy is None:
        raise ConfigError(
            f"--host {host}: the connection would not be encrypted; give --tls-cert and --tls-key, or --behind-proxy"
        )


def build_origins(*, host: str, port: int, tls: bool, proxy: str | None) -> Origins:
    """The origins at which readers open the page."""
    if proxy is not None:
        parts = urlsplit(proxy)
        port_suffix = f":{parts.port}" if parts.port and parts.port != 443 else ""
        return Origins(frozenset({f"https://{parts.hostname}{port_suffix}"}))
    names = {host.lower()} | ({"127.0.0.1", "localhost", "[::1]"} if _is_loopback(host) else set())
    if host in ("0.0.0.0", "::"):  # noqa: S104  the user gave this host
        names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
    scheme = "https" if tls else "http"
    port_suffix = "" if port == (443 if tls else 80) else f":{port}"
    return Origins(frozenset(f"{scheme}://{_add_brackets(name)}{port_suffix}" for name in names))


def open_socket(host: str, port: int) -> socket.socket:
    """Open a listening socket; ConfigError if the address is not available."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(f"--host {host} --port {port}: {error.strerror}; give another --port") from error
    return listener


def serve_app(
    app: ASGIApp,
    listener: socket.socket,
    *,
    tls_cert: Path | None,
    tls_key: Path | None,
    proxy: str | None,
    print_line: PrintLine,
) -> None:
    """Serve until a stop signal arrives, and raise its StopSignal. No address and no code is logged."""
    config = uvicorn.Config(
        app,
        http=TimedProtocol,
        ssl_certfile=tls_cert,
        ssl_keyfile=tls_key,
        proxy_headers=proxy is not None,
        forwarded_allow_ips="127.0.0.1,::1" if proxy is not None else "",
        server_header=False,
        date_header=False,
        access_log=False,
        log_level=logging.WARNING,
        lifespan="off",
        ws="none",
        limit_concurrency=400,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=16_384,
    )
    print_line("press Ctrl+C to stop; all acknowledged answers are on disk")
    _Server(config).run(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that completes the requests in progress after any stop signal, SIGHUP included."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        with stop_signals.deferred(self._request_exit):
            yield

    def _request_exit(self) -> None:
        self.should_exit = True


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _add_brackets(name: str) -> str:
    """An IPv6 address as it is written in a URL; other names unchanged."""
    return f"[{name}]" if ":" in name and not name.startswith("[") else name
