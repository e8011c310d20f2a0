"""The server as a stranger, a reader, two windows and a power cut find it: a real process on loopback."""

from __future__ import annotations

import contextlib
import http.client
import json
import sqlite3
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.small_study import DESIGN, Inputs, codes, make
from support.study_server import ANSWER, Client, StudyServer

from synthcxr.errors import ConfigError, DataError
from synthcxr.reader_study import public_files
from synthcxr.reader_study import server as serving
from synthcxr.reader_study.answer_store import Answers
from synthcxr.reader_study.request_guard import LARGEST_BODY, Attempts
from synthcxr.stages import reader_study_serve

pytestmark = pytest.mark.slow

N = DESIGN.practice + DESIGN.n + DESIGN.repeats + 2 + DESIGN.pairs


@pytest.fixture
def study(inputs: Inputs, tmp_path: Path) -> Path:
    """A study of its own."""
    make(inputs, tmp_path / "study")
    return tmp_path / "study"


@pytest.fixture(scope="module")
def server(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudyServer]:
    """One server for the tests that leave it as it was. The key was moved away: serving needs nothing of it."""
    study = tmp_path_factory.mktemp("served") / "study"
    make(inputs, study)
    running = StudyServer(study)
    (study / "key").rename(study.parent / "key")
    with running:
        yield running


@pytest.fixture
def reader(server: StudyServer) -> Client:
    """Reader 1, entered."""
    return Client(server, server.codes[0])


def test_a_stranger_sees_the_page_and_nothing_else(server: StudyServer) -> None:
    """Without a code there is the page; every question is answered by 401, and a file of the study by 404."""
    stranger = Client(server)
    assert stranger.ask("GET", "/").headers["content-type"].startswith("text/html")
    for path in ("/api/session", "/api/cases/0", "/api/cases/0/images/0"):
        assert stranger.ask("GET", path).status == 401
    assert stranger.save(0).status == 401
    for path in (
        *("/study.json", "/served/study.json", "/key/key.json", "/answers.sqlite", "/../key/key.json"),
        *(
            "/page/../../answers.py",
            "/%2e%2e/key/key.json",
            "/..%2fkey%2fkey.json",
            "//etc/passwd",
            "/page.css/../app.py",
        ),
        *("/api/cases/0/images/../../../../key/key.json", "/api/cases/-1/images/0", "/api/cases/1e9/images/0"),
    ):
        assert stranger.ask("GET", path).status == 404, path


def test_every_reply_carries_the_headers(server: StudyServer, reader: Client) -> None:
    """Nothing may be framed, sniffed, cached, or fetched from elsewhere; the cookie is for this page alone."""
    for path in ("/", "/page.js", "/api/session", "/nothing", "/api/cases/0/images/0"):
        headers = reader.ask("GET", path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers
    cookie = Client(server).ask("POST", "/api/enter", {"code": server.codes[0]}).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert "Secure" not in cookie  # loopback has no TLS


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": None}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://elsewhere.example"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"host": "elsewhere.example"}, 421),
    ],
)
def test_another_page_cannot_write(reader: Client, headers: dict[str, str | None], status: int) -> None:
    """With the cookie but from another page, as a form, or under another name, nothing is written."""
    asked = {"version": 0, "token": "x" * 8, "seconds": 1, "answer": ANSWER}
    assert reader.ask("PUT", "/api/cases/0", asked, **headers).status == status
    assert reader.ask("GET", "/api/cases/0").json["version"] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"confidence": 6}, {"confidence": True}, {"confidence": None}, {"quality": 0}, {"quality": None},
        {"findings": ["Plague"]}, {"findings": "Mass"}, {"comment": "x" * 2001}, {"comment": 5}, {"more": 1},
    ],
)  # fmt: skip
def test_what_is_no_answer_is_refused(reader: Client, change: dict[str, object]) -> None:
    """An answer out of range, of another kind or with more in it is refused by name, and not kept."""
    refused = reader.save(0, ANSWER | change)
    assert refused.status == 400
    assert next(iter(change)) in refused.json["error"] or "expected" in refused.json["error"]
    assert reader.ask("GET", "/api/cases/0").json["version"] == 0


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"1", b"\xff\xfe", b"[" * 9000, b'{"version": NaN}'])
def test_broken_bodies_are_refused(reader: Client, body: bytes) -> None:
    """What is no JSON of ours is answered by 400, never by 500."""
    assert reader.ask("PUT", "/api/cases/0", body).status == 400


def test_sizes_are_limited(reader: Client) -> None:
    """A body beyond the limit is refused, whether it says its length or not."""
    assert reader.ask("PUT", "/api/cases/0", b"x" * (LARGEST_BODY + 1)).status == 413
    assert reader.ask("PUT", "/api/cases/0", b"x", content_length="999999999").status == 413


def test_the_future_is_closed(reader: Client) -> None:
    """Only the next screen is open, the image after it may be fetched, and what lies beyond does not exist."""
    assert reader.ask("GET", "/api/cases/0").status == 200
    assert reader.ask("GET", "/api/cases/1").status == 404
    assert reader.ask("GET", "/api/cases/1/images/0").status == 200
    assert reader.ask("GET", "/api/cases/2/images/0").status == 404
    assert reader.ask("GET", "/api/cases/0/images/1").status == 404
    assert reader.ask("GET", "/api/cases/0/alike/0").status == 404
    assert reader.save(1).status == 404
    assert reader.ask("GET", f"/api/cases/{N}").status == 404


def test_images_differ_in_nothing_but_pixels(reader: Client) -> None:
    """Headers of two images are the same, and carry neither name, date nor tag."""
    first, second = (reader.ask("GET", f"/api/cases/{at}/images/0") for at in (0, 1))
    assert first.headers.items() == second.headers.items()
    assert len(first.body) == len(second.body)
    assert not {"etag", "last-modified", "content-disposition"} & {name.lower() for name in first.headers}


def test_codes_are_limited() -> None:
    """Ten wrong codes make an address wait five minutes, others not; addresses without number are not kept."""
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for _ in range(Attempts.MOST):
        assert attempts.wait_s("a") == 0
        attempts.fail("a")
    assert attempts.wait_s("a") == 300
    assert attempts.wait_s("b") == 0
    now[0] = 301.0
    assert attempts.wait_s("a") == 0
    for at in range(Attempts.ADDRESSES + 50):
        attempts.fail(str(at))
    assert len(attempts._failed) == Attempts.ADDRESSES


def test_wrong_codes_end_in_429(study: Path) -> None:
    """The server itself counts, and a right code has to wait too."""
    with StudyServer(study) as server:
        stranger = Client(server)
        for _ in range(Attempts.MOST):
            assert stranger.ask("POST", "/api/enter", {"code": "aaaa-bbbb-cccc-dddd"}).status == 403
        refused = stranger.ask("POST", "/api/enter", {"code": codes(study)[0]})
        assert refused.status == 429
        assert 0 < int(refused.headers["retry-after"]) <= 300


def test_two_windows_overwrite_nothing(study: Path) -> None:
    """The second window to answer gets 409 with what stands, may then change it knowingly, and all is kept."""
    with StudyServer(study) as server:
        one, two = (Client(server, codes(study)[0]) for _ in range(2))
        assert one.save(0, ANSWER | {"confidence": 1}).json["version"] == 1
        late = two.save(0, ANSWER | {"confidence": 5})
        assert late.status == 409
        assert (late.json["version"], late.json["answer"]["confidence"]) == (1, 1)
        assert two.save(0, ANSWER | {"confidence": 5}, version=1).json["version"] == 2
        assert one.ask("GET", "/api/cases/0").json["answer"]["confidence"] == 5
        repeated = [one.save(1, token="the-same-save") for _ in range(3)]
        assert [reply.json["version"] for reply in repeated] == [1, 1, 1]
        with contextlib.closing(sqlite3.connect(study / "answers.sqlite")) as held:
            assert held.execute("SELECT count(*) FROM answers").fetchone() == (3,)


def test_readers_at_once(study: Path) -> None:
    """Two readers in eight windows, all at once: each answer is won by one window, and no reader sees the other's."""
    statuses: list[int] = []
    with StudyServer(study) as server:
        windows = [Client(server, code) for code in codes(study) for _ in range(4)]

        def answer(window: Client) -> None:
            for position in range(8):
                statuses.append(window.save(position).status)

        threads = [threading.Thread(target=answer, args=(window,)) for window in windows]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(statuses) <= {200, 409, 404}
        answers = Answers(study / "answers.sqlite", public_files.read(study).study)
        assert statuses.count(200) == 16
        for reader in (1, 2):
            assert answers.versions(reader) == dict.fromkeys(range(8), 1)


def test_what_was_acknowledged_survives(study: Path) -> None:
    """Killed without warning in the middle of answers again and again, the server loses none that it acknowledged;
    the reader goes on with the same cookie."""
    with StudyServer(study) as server:
        reader = Client(server, codes(study)[0])
        acknowledged: dict[int, int] = {}
        for cut in range(3):

            def work() -> None:
                for position in range(len(acknowledged), N):
                    try:
                        done = reader.save(position, ANSWER | {"confidence": 1 + position % 5, "findings": []})
                    except OSError:
                        return
                    if done.status in (200, 409):
                        acknowledged[position] = 1 + position % 5

            thread = threading.Thread(target=work)
            before = len(acknowledged)
            thread.start()
            while thread.is_alive() and len(acknowledged) < before + 2:
                time.sleep(0.001)
            thread.join(0.004 * cut)
            server.kill()
            thread.join()
            server.start()
            for position, confidence in acknowledged.items():
                assert reader.ask("GET", f"/api/cases/{position}").json["answer"]["confidence"] == confidence
        assert acknowledged


def test_a_session_ends(study: Path) -> None:
    """After leaving, the cookie is worth nothing; another machine goes on where the first one stopped."""
    with StudyServer(study) as server:
        first = Client(server, codes(study)[0])
        first.save(0)
        assert first.ask("POST", "/api/leave", {}).status == 204
        assert first.ask("GET", "/api/session").status == 401
        assert Client(server, codes(study)[0]).ask("GET", "/api/session").json["next"] == 1


def test_teaching_tells_after_the_answer(study: Path) -> None:
    """The classifier's opinion and the images like it come with the answer, not before; only synthetic images are
    shown, each once."""
    with StudyServer(study, "--mode", "teach") as server:
        reader = Client(server, codes(study)[0])
        session = reader.ask("GET", "/api/session").json
        assert session["teach"]
        assert session["n"] == (DESIGN.n + DESIGN.practice) // 2
        before = reader.ask("GET", "/api/cases/0").json
        assert "lesson" not in before
        assert reader.ask("GET", "/api/cases/0/alike/0").status == 404
        lesson = reader.save(0).json["lesson"]
        assert len(lesson["classifier"]) == 14
        assert lesson["finding"] in lesson["present"]
        for at in range(lesson["n_alike"]):
            assert reader.ask("GET", f"/api/cases/0/alike/{at}").body.startswith(b"\x89PNG")
        assert reader.ask("GET", "/api/cases/0").json["lesson"] == lesson
        assert (study / "lessons.sqlite").exists()
        assert not (study / "answers.sqlite").exists()


def test_teaching_waits_for_the_study(study: Path) -> None:
    """While a reader is in the middle of the study it does not teach."""
    with StudyServer(study) as server:
        Client(server, codes(study)[0]).save(0)
    with pytest.raises(DataError, match="in the middle"):
        serve(study, teach=True)


def serve(study: Path, **change: object) -> None:
    asked = {"teach": False, "host": "127.0.0.1", "port": 0, "tls_cert": None, "tls_key": None, "proxy": None}
    reader_study_serve.run(study, **(asked | change), say=lambda _: None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"host": "0.0.0.0"}, "overhear"),
        ({"host": "192.0.2.1"}, "overhear"),
        ({"tls_cert": Path("a.pem")}, "give both"),
        ({"tls_cert": Path("a.pem"), "tls_key": Path("b.pem")}, "no such file"),
        ({"proxy": "http://study.example.org"}, "not an address"),
        ({"proxy": "https://study.example.org/path"}, "not an address"),
    ],
)
def test_addresses_that_could_be_overheard_are_refused(study: Path, change: dict[str, object], words: str) -> None:
    """Beyond this machine it wants TLS or a proxy that has it."""
    with pytest.raises(ConfigError, match=words):
        serve(study, **change)


def test_behind_a_proxy_the_name_is_the_proxys(study: Path) -> None:
    """Behind a proxy only its name is answered, and cookies travel by TLS alone."""
    with_proxy = serving.origins(host="127.0.0.1", port=1, tls=False, proxy="https://study.example.org")
    assert with_proxy.hosts == {"study.example.org"}
    assert with_proxy.secure


def test_by_tls(study: Path, tmp_path: Path) -> None:
    """With a certificate the same study is served by TLS, and its cookie is Secure."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert]
    try:
        subprocess.run([*made, "-days", "1", "-subj", "/CN=localhost"], check=True, capture_output=True)
    except OSError:
        pytest.skip("no openssl to make a certificate with")
    with StudyServer(study, "--tls-cert", str(cert), "--tls-key", str(key)) as server:
        context = ssl.create_default_context(cafile=str(cert))
        connection = http.client.HTTPSConnection("localhost", server.port, timeout=60, context=context)
        headers = {"Origin": f"https://localhost:{server.port}", "Content-Type": "application/json"}
        connection.request("POST", "/api/enter", json.dumps({"code": codes(study)[0]}), headers)
        with connection.getresponse() as reply:
            assert reply.status == 204
            assert "Secure" in reply.headers["set-cookie"]
            assert "strict-transport-security" in reply.headers
        connection.close()


def test_a_study_that_is_no_study(tmp_path: Path, study: Path) -> None:
    """An empty folder, an image that is missing, a link out of the folder, another study's answers: one line each."""
    with pytest.raises(DataError, match="holds no reader study"):
        serve(tmp_path)
    image = next((study / "served" / "images").iterdir())
    held = image.read_bytes()
    image.unlink()
    with pytest.raises(DataError, match="no image of this study"):
        serve(study)
    (tmp_path / "secret.png").write_bytes(held)
    image.symlink_to(tmp_path / "secret.png")
    with pytest.raises(DataError, match="no image of this study"):
        serve(study)
    image.unlink()
    image.write_bytes(held)
    Answers(study / "answers.sqlite", "another")
    with pytest.raises(DataError, match="another study"):
        serve(study)
