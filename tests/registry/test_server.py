from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from support.servers import Server, free_port

from synthcxr.errors import ArtifactError
from synthcxr.registry import connection, publish, resolve, tracking_uri

PublishOne = Callable[..., publish.Published]


def test_a_server_that_is_down_is_one_line_in_seconds(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that nobody runs is said within seconds, not after MLflow's minutes of retries, without its password."""
    monkeypatch.setenv(tracking_uri.VARIABLE, f"http://user:secret@127.0.0.1:{free_port()}")
    began = time.monotonic()
    with pytest.raises(ArtifactError, match="nobody answers; start the server") as caught:
        resolve(None)
    assert time.monotonic() - began < 5
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_accepts_and_says_nothing_is_given_up(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that hangs is given up after the probe's time."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        monkeypatch.setenv(tracking_uri.VARIABLE, f"http://127.0.0.1:{listening.getsockname()[1]}")
        with pytest.raises(ArtifactError, match="no answer in time"):
            resolve(None)


class _Answering(BaseHTTPRequestHandler):
    """Says that there are no experiments, but breaks off the server's first `broken` connections."""

    def do_POST(self) -> None:
        self.server.asked += 1  # type: ignore[attr-defined]
        if self.server.asked <= self.server.broken:  # type: ignore[attr-defined]
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output clean."""


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_a_connection_that_breaks_is_asked_anew_once(broken: int) -> None:
    """One that the server closed since is no broken server, two in a row are; the line says so."""
    with HTTPServer(("127.0.0.1", 0), _Answering) as server:
        server.asked, server.broken = 0, broken  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        expected = pytest.raises(ArtifactError, match="the server broke off") if broken > 1 else nullcontext()
        try:
            with expected:
                connection.connect(f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
        assert server.asked == min(broken, 1) + 1  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_real_server_takes_and_gives_the_same_bytes(
    server: Server,
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    publish_one: PublishOne,
) -> None:
    """Models go to a server and come back verified into the cache, which mends itself; nothing is made here."""
    monkeypatch.setenv(tracking_uri.VARIABLE, server.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    published = publish_one(champion=True)
    assert published.tracking_uri_kind == "server"
    found = resolve(None)
    assert found.name == "models:/synthcxr-generator/1"
    assert found.path.is_relative_to(tmp_path / "cache")
    wanted = (tmp_path / "models0" / "generator.onnx").read_bytes()
    assert (found.path / "generator.onnx").read_bytes() == wanted
    (found.path / "generator.onnx").write_bytes(b"harmed")
    assert (resolve(None).path / "generator.onnx").read_bytes() == wanted
    assert resolve(f"runs:/{published.run_id}/generator").path == found.path
    assert [path.name for path in found.path.parent.iterdir()] == [found.path.name]
    assert list(project.iterdir()) == []
    assert capfd.readouterr().out == ""
