"""A `synthcxr reader-study serve` process on loopback that can be killed and restarted, and an HTTP client for it."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from support.loopback_server import START_TIMEOUT_S, find_free_port
from support.small_study import read_codes

ANSWER = {"confidence": 2, "quality": 3, "findings": ["Mass"], "comment": "faint"}


class StudyServer:
    """A study that is served on a free port."""

    def __init__(self, study: Path, *arguments: str) -> None:
        self.study, self.port, self._arguments = study, find_free_port(), arguments
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.codes = read_codes(study)

    def __enter__(self) -> StudyServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        command = [sys.executable, "-m", "synthcxr", "reader-study", "serve", str(self.study), "--port", str(self.port)]
        log_path = self.study.with_suffix(".log")
        with log_path.open("ab") as log:
            self._process = subprocess.Popen([*command, *self._arguments], stdout=log, stderr=log)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            assert self._process.poll() is None, log_path.read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise TimeoutError(self.url)

    def stop(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal; return the exit code and what the server has logged."""
        assert self._process is not None
        self._process.send_signal(number)
        code, self._process = self._process.wait(), None
        return code, self.study.with_suffix(".log").read_text()

    def kill(self) -> None:
        """Kill the process at once, without any cleanup."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class Reply:
    """The reply of the server."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class StudyClient:
    """An HTTP client with the cookie of one browser; with a code it logs in."""

    def __init__(self, server: StudyServer, code: str = "") -> None:
        self.server, self.cookie = server, ""
        if code:
            reply = self.request("POST", "/api/enter", {"code": code})
            assert reply.status == 204, reply.body
            self.cookie = reply.headers["set-cookie"].partition(";")[0]

    def request(self, method: str, path: str, body: Any = None, **headers: str | None) -> Reply:
        """Send a request as the page does. `headers` replace its headers; None removes one."""
        all_headers: dict[str, str | None] = {"Cookie": self.cookie}
        if method != "GET":
            all_headers |= {"Origin": self.server.url, "Content-Type": "application/json"}
        all_headers |= {name.replace("_", "-").title(): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            sent_headers = {name: value for name, value in all_headers.items() if value is not None}
            connection.request(method, path, data, sent_headers)
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def save(self, position: int, answer: dict[str, Any] | None = None, *, version: int = 0, token: str = "") -> Reply:
        """Save an answer to the screen at this position."""
        body = {
            "version": version,
            "token": token or secrets.token_hex(8),
            "seconds": 3.5,
            "answer": answer or ANSWER,
        }
        return self.request("PUT", f"/api/cases/{position}", body)
