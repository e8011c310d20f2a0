"""`serve`: encrypted addresses, TLS, proxies, and refused studies."""

from __future__ import annotations

import http.client
import json
import signal
import ssl
import subprocess
from pathlib import Path

import pytest
from support.small_study import StudyInputs, create_study, read_codes
from support.study_server import StudyClient, StudyServer

from synthcxr.errors import ConfigError, DataError
from synthcxr.reader_study.answer_store import AnswerStore
from synthcxr.reader_study.server import build_origins
from synthcxr.stages import reader_study_serve

pytestmark = pytest.mark.slow


@pytest.fixture
def study(inputs: StudyInputs, tmp_path: Path) -> Path:
    """A new study."""
    create_study(inputs, tmp_path / "study")
    return tmp_path / "study"


def serve(study: Path, **change: object) -> None:
    """Run the stage with options that are valid except for `change`."""
    options = {"teach": False, "host": "127.0.0.1", "port": 0, "tls_cert": None, "tls_key": None, "proxy": None}
    reader_study_serve.run(study, **(options | change), print_line=lambda _: None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"host": "0.0.0.0"}, "not be encrypted"),
        ({"host": "192.0.2.1"}, "not be encrypted"),
        ({"tls_cert": Path("a.pem")}, "give both"),
        ({"tls_cert": Path("a.pem"), "tls_key": Path("b.pem")}, "no such file"),
        ({"proxy": "http://study.example.org"}, "not an address"),
        ({"proxy": "https://study.example.org/path"}, "not an address"),
    ],
)
def test_unencrypted_addresses_are_refused(study: Path, change: dict[str, object], message: str) -> None:
    """Other addresses than loopback need TLS or a proxy that has it."""
    with pytest.raises(ConfigError, match=message):
        serve(study, **change)


def test_behind_a_proxy_the_origin_is_that_of_the_proxy(study: Path) -> None:
    """Behind a proxy only its host is accepted, and cookies need TLS."""
    origins = build_origins(host="127.0.0.1", port=1, tls=False, proxy="https://study.example.org")
    assert origins.hosts == {"study.example.org"}
    assert origins.use_tls


def test_serving_with_tls(study: Path, tmp_path: Path) -> None:
    """With a certificate the study is served with TLS, and the session cookie is Secure."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert]
    try:
        subprocess.run([*command, "-days", "1", "-subj", "/CN=localhost"], check=True, capture_output=True)
    except OSError:
        pytest.skip("no openssl")
    with StudyServer(study, "--tls-cert", str(cert), "--tls-key", str(key)) as server:
        context = ssl.create_default_context(cafile=str(cert))
        connection = http.client.HTTPSConnection("localhost", server.port, timeout=60, context=context)
        headers = {"Origin": f"https://localhost:{server.port}", "Content-Type": "application/json"}
        connection.request("POST", "/api/enter", json.dumps({"code": read_codes(study)[0]}), headers)
        with connection.getresponse() as response:
            assert response.status == 204
            assert "Secure" in response.headers["set-cookie"]
            assert "strict-transport-security" in response.headers
        connection.close()


def test_damaged_studies_are_refused(tmp_path: Path, study: Path) -> None:
    """An empty folder, a missing image, a link out of the folder and answers to another study are errors."""
    with pytest.raises(DataError, match="contains no reader study"):
        serve(tmp_path)
    image = next((study / "served" / "images").iterdir())
    content = image.read_bytes()
    image.unlink()
    with pytest.raises(DataError, match="not an image of this study"):
        serve(study)
    (tmp_path / "secret.png").write_bytes(content)
    image.symlink_to(tmp_path / "secret.png")
    with pytest.raises(DataError, match="not an image of this study"):
        serve(study)
    image.unlink()
    image.write_bytes(content)
    AnswerStore(study / "answers.sqlite", "another")
    with pytest.raises(DataError, match="another study"):
        serve(study)


def test_teaching_is_refused_while_a_reader_is_not_finished(study: Path) -> None:
    """Lessons are not served while a reader has answered only some screens of the study."""
    with StudyServer(study) as server:
        StudyClient(server, read_codes(study)[0]).save(0)
    with pytest.raises(DataError, match="has not finished"):
        serve(study, teach=True)


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGTERM, 143, "Terminated"), (signal.SIGHUP, 129, "Hung up")]
)
def test_a_stopped_server_ends_in_one_line(study: Path, number: signal.Signals, code: int, word: str) -> None:
    """A stop signal ends the server with its exit code and one line; the acknowledged answer is in the study."""
    previous = signal.signal(number, signal.SIG_DFL)  # tests may run under nohup, and the server inherits that
    server = StudyServer(study)
    try:
        server.start()
        assert StudyClient(server, server.codes[0]).save(0).status == 200
        exit_code, log = server.stop(number)
    finally:
        server.kill()
        signal.signal(number, previous)
    assert (exit_code, log.splitlines()[-1]) == (
        code,
        f"{word}: run the same command again to continue the study; all acknowledged answers are on disk",
    )
    assert "Traceback" not in log
    with StudyServer(study) as again:
        assert StudyClient(again, again.codes[0]).request("GET", "/api/session").status == 200
