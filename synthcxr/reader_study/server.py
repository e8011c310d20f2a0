"""Where a study is served: on this machine alone, elsewhere only by TLS or behind a proxy that has it."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from synthcxr.errors import ConfigError
from synthcxr.reader_study.request_guard import Origins

Say = Callable[[str], None]
_BACKLOG = 128


def check(*, host: str, tls_cert: Path | None, tls_key: Path | None, proxy: str | None) -> None:
    """ConfigError for an address at which codes and answers could be overheard."""
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
            f"--host {host}: others could overhear it; give --tls-cert and --tls-key, or --behind-proxy URL"
        )


def origins(*, host: str, port: int, tls: bool, proxy: str | None) -> Origins:
    """The addresses by which readers reach it."""
    if proxy is not None:
        parts = urlsplit(proxy)
        port_part = f":{parts.port}" if parts.port and parts.port != 443 else ""
        return Origins(frozenset({f"https://{parts.hostname}{port_part}"}))
    names = {host.lower()} | ({"127.0.0.1", "localhost", "[::1]"} if _is_loopback(host) else set())
    if host in ("0.0.0.0", "::"):  # noqa: S104  it is what was asked for
        names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
    scheme = "https" if tls else "http"
    usual = port == (443 if tls else 80)
    return Origins(frozenset(f"{scheme}://{_bracketed(name)}{'' if usual else f':{port}'}" for name in names))


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; ConfigError where it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
        opened.listen(_BACKLOG)
    except OSError as error:
        opened.close()
        raise ConfigError(f"--host {host} --port {port}: {error.strerror}; choose another --port") from error
    return opened


def run(
    app: ASGIApp, opened: socket.socket, *, tls_cert: Path | None, tls_key: Path | None, proxy: str | None, say: Say
) -> None:
    """Serve until interrupted; nothing but warnings is logged, no address and no code."""
    config = uvicorn.Config(
        app,
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
        limit_concurrency=200,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=16_384,
    )
    say("stop it with Ctrl+C; every acknowledged answer is on disk")
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[opened])


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name and not name.startswith("[") else name
