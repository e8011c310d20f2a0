"""A real `synthcxr reader-study serve` on loopback that can be killed and started again, and someone who asks it."""

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

from support.servers import START_TIMEOUT_S, find_free_port
from support.small_study import codes

ANSWER = {"confidence": 2, "quality": 3, "findings": ["Mass"], "comment": "faint"}


class StudyServer:
    """A study served on a free port."""

    def __init__(self, study: Path, *arguments: str) -> None:
        self.study, self.port, self._arguments = study, find_free_port(), arguments
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.codes = codes(study)

    def __enter__(self) -> StudyServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "synthcxr", "reader-study", "serve", str(self.study), "--port", str(self.port)]
        log = self.study.with_suffix(".log")
        with log.open("ab") as out:
            self._process = subprocess.Popen([*command, *self._arguments], stdout=out, stderr=out)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            assert self._process.poll() is None, log.read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise TimeoutError(self.url)

    def kill(self) -> None:
        """End it at once, as a power cut would end the process."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class Reply:
    """What came back."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One browser's worth of cookies."""

    def __init__(self, server: StudyServer, code: str = "") -> None:
        self.server, self.cookie = server, ""
        if code:
            entered = self.ask("POST", "/api/enter", {"code": code})
            assert entered.status == 204, entered.body
            self.cookie = entered.headers["set-cookie"].partition(";")[0]

    def ask(self, method: str, path: str, body: Any = None, **headers: str | None) -> Reply:
        """Send a request as the page does; `headers` replace its own, None leaves one out."""
        held: dict[str, str | None] = {"Cookie": self.cookie}
        if method != "GET":
            held |= {"Origin": self.server.url, "Content-Type": "application/json"}
        held |= {name.replace("_", "-").title(): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, data, {name: value for name, value in held.items() if value is not None})
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def save(self, position: int, answer: dict[str, Any] | None = None, *, version: int = 0, token: str = "") -> Reply:
        """Answer a screen."""
        asked = {"version": version, "token": token or secrets.token_hex(8), "seconds": 3.5}
        return self.ask("PUT", f"/api/cases/{position}", asked | {"answer": answer or ANSWER})
