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
from support.loopback_server import find_free_port
from support.mlflow_server import MlflowServer

from synthcxr.errors import ArtifactError
from synthcxr.registry import connection, publish, resolve_model, tracking_uri

PublishGenerator = Callable[..., publish.PublishedRun]


def test_dead_server_is_a_one_line_error_within_seconds(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not run is reported within seconds, not after MLflow's retries, and without its password."""
    monkeypatch.setenv(tracking_uri.URI_VARIABLE, f"http://user:secret@127.0.0.1:{find_free_port()}")
    start = time.monotonic()
    with pytest.raises(ArtifactError, match="cannot connect; start the server") as caught:
        resolve_model(None)
    assert time.monotonic() - start < 5
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("http://user:hunter22@host.invalid:5000", "MLflow at http://host.invalid:5000: cannot connect"),
        ("http://user:hunter22@127.0.0.1:port", "MLflow at http://127.0.0.1:port: "),
        ("http://user:hunter22@127.0.0.1:99999", "MLflow at http://127.0.0.1:99999: "),
        (
            "foo://user:hunter22@host",
            "MLflow at foo://host: not a kind of store that MLflow knows; set MLFLOW_TRACKING",
        ),
        (
            "mysql://user:hunter22@127.0.0.1/db",
            "the database driver MySQLdb is not installed; run: pip install pymysql",
        ),
        (
            "postgresql://user:hunter22@127.0.0.1:x/db",
            "MLflow at postgresql://127.0.0.1:x/db: not a valid address; set",
        ),
        ("mysql+none://user:hunter22@127.0.0.1/db", "is not a kind of database that SQLAlchemy knows"),
    ],
)
def test_unusable_address_is_a_one_line_error_without_its_password(address: str, line: str) -> None:
    """Whatever is wrong with an address, the error is one line of ours and has no password."""
    with pytest.raises(ArtifactError) as caught:
        connection.connect(address)
    assert line in str(caught.value)
    assert "hunter22" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folder_of_files_is_a_one_line_error(project: Path) -> None:
    """A folder store, which MLflow no longer writes, ends in a sentence that says what to set instead."""
    with pytest.raises(ArtifactError, match="does not keep its store in a folder of files; set MLFLOW_TRACKING_URI to"):
        connection.connect("./mlruns")


def test_silent_server_times_out(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts connections but never answers is given up after the timeout."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        monkeypatch.setenv(tracking_uri.URI_VARIABLE, f"http://127.0.0.1:{listening.getsockname()[1]}")
        with pytest.raises(ArtifactError, match="no answer in time"):
            resolve_model(None)


class _Handler(BaseHTTPRequestHandler):
    """Answers `server.status`, with no experiments, but resets the first `server.n_resets` connections."""

    def do_POST(self) -> None:
        self.server.n_requests += 1  # type: ignore[attr-defined]
        if self.server.n_requests <= self.server.n_resets:  # type: ignore[attr-defined]
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}" if self.server.status == 200 else b"no")  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: object) -> None:
        """Keep the output of the tests clean."""


def connect_to(*, n_resets: int = 0, status: int = 200) -> int:
    """Connect to a server that behaves so; return how many requests it got."""
    with HTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.n_requests, server.n_resets, server.status = 0, n_resets, status  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            connection.connect(f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
        return server.n_requests  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("n_resets", [0, 1, 2])
def test_reset_connection_is_retried_once(n_resets: int) -> None:
    """A connection that the server has closed since is opened again; a second reset is reported."""
    expected = (
        pytest.raises(ArtifactError, match="the server failed or closed the connection")
        if n_resets > 1
        else nullcontext()
    )
    with expected:
        assert connect_to(n_resets=n_resets) == n_resets + 1


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (401, "rejected the credentials .401.; set MLFLOW_TRACKING_USERNAME"),
        (403, "denied permission .403."),
        (500, "the server failed or closed the connection"),
        (503, "unavailable .503."),
    ],
)
def test_error_status_is_a_one_line_error(status: int, line: str) -> None:
    """Each status code has its own advice."""
    with pytest.raises(ArtifactError, match=line) as caught:
        connect_to(status=status)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_real_server_returns_the_same_bytes(
    server: MlflowServer,
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    publish_generator: PublishGenerator,
) -> None:
    """Models are uploaded and come back verified to the cache, which repairs itself; the project stays empty."""
    monkeypatch.setenv(tracking_uri.URI_VARIABLE, server.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    published = publish_generator(champion=True)
    assert published.tracking_uri_kind == "server"
    resolved = resolve_model(None)
    assert resolved.address == "models:/synthcxr-generator/1"
    assert resolved.path.is_relative_to(tmp_path / "cache")
    original = (tmp_path / "models0" / "generator.onnx").read_bytes()
    assert (resolved.path / "generator.onnx").read_bytes() == original
    (resolved.path / "generator.onnx").write_bytes(b"damaged")
    assert (resolve_model(None).path / "generator.onnx").read_bytes() == original
    assert resolve_model(f"runs:/{published.run_id}/generator").path == resolved.path
    assert [path.name for path in resolved.path.parent.iterdir()] == [resolved.path.name]
    assert list(project.iterdir()) == []
    assert capfd.readouterr().out == ""
