"""The web application, tested with HTTP requests to a real server: access, validation, conflicts, kills, teach mode."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.small_study import DESIGN, StudyInputs, create_study, read_codes
from support.study_server import ANSWER, StudyClient, StudyServer

from synthcxr.reader_study.access_codes import FailedAttempts
from synthcxr.reader_study.answer_store import AnswerStore
from synthcxr.reader_study.public_files import read_served_study
from synthcxr.reader_study.request_guard import MAX_BODY_BYTES

pytestmark = pytest.mark.slow

N_SCREENS = DESIGN.practice + DESIGN.n + DESIGN.repeats + 2 + DESIGN.pairs


@pytest.fixture
def study(inputs: StudyInputs, tmp_path: Path) -> Path:
    """A new study."""
    create_study(inputs, tmp_path / "study")
    return tmp_path / "study"


@pytest.fixture(scope="module")
def server(inputs: StudyInputs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudyServer]:
    """A server for tests that save no answer. Its answer key was moved away, because serving does not need it."""
    study = tmp_path_factory.mktemp("served") / "study"
    create_study(inputs, study)
    study_server = StudyServer(study)
    (study / "key").rename(study.parent / "key")
    with study_server:
        yield study_server


@pytest.fixture
def reader(server: StudyServer) -> StudyClient:
    """Reader 1, logged in."""
    return StudyClient(server, server.codes[0])


def test_without_a_code_there_is_only_the_page(server: StudyServer) -> None:
    """Without a session, the page is served, API requests get 401, and files of the study get 404."""
    client = StudyClient(server)
    assert client.request("GET", "/").headers["content-type"].startswith("text/html")
    for path in ("/api/session", "/api/cases/0", "/api/cases/0/images/0"):
        assert client.request("GET", path).status == 401
    assert client.save(0).status == 401
    for path in (
        *("/study.json", "/served/study.json", "/key/key.json", "/answers.sqlite", "/../key/key.json"),
        *(
            "/page/../../answer.py",
            "/%2e%2e/key/key.json",
            "/..%2fkey%2fkey.json",
            "//etc/passwd",
            "/page.css/../app.py",
        ),
        *("/api/cases/0/images/../../../../key/key.json", "/api/cases/-1/images/0", "/api/cases/1e9/images/0"),
    ):
        assert client.request("GET", path).status == 404, path


def test_every_reply_has_the_security_headers(server: StudyServer, reader: StudyClient) -> None:
    """Replies cannot be framed, sniffed or cached, and the session cookie is for this page only."""
    for path in ("/", "/page.js", "/api/session", "/nothing", "/api/cases/0/images/0"):
        headers = reader.request("GET", path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers
    cookie = StudyClient(server).request("POST", "/api/enter", {"code": server.codes[0]}).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert "Secure" not in cookie  # no TLS on loopback


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
def test_another_page_cannot_write(reader: StudyClient, headers: dict[str, str | None], status: int) -> None:
    """A request with the cookie, but from another origin, as a form or to another host, writes nothing."""
    body = {"version": 0, "token": "x" * 8, "seconds": 1, "answer": ANSWER}
    assert reader.request("PUT", "/api/cases/0", body, **headers).status == status
    assert reader.request("GET", "/api/cases/0").json["version"] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"confidence": 6}, {"confidence": True}, {"confidence": None}, {"quality": 0}, {"quality": None},
        {"findings": ["Plague"]}, {"findings": "Mass"}, {"comment": "x" * 2001}, {"comment": 5}, {"more": 1},
    ],
)  # fmt: skip
def test_invalid_answers_are_rejected(reader: StudyClient, change: dict[str, object]) -> None:
    """An answer with a value out of range, of a wrong type or with an extra field gets 400 and is not stored."""
    reply = reader.save(0, ANSWER | change)
    assert reply.status == 400
    assert next(iter(change)) in reply.json["error"] or "expected" in reply.json["error"]
    assert reader.request("GET", "/api/cases/0").json["version"] == 0


@pytest.mark.parametrize("comment", ["\ud800", "a\udfffb", "a\0b"])
def test_text_that_is_not_unicode_is_rejected(reader: StudyClient, comment: str) -> None:
    """A comment with a lone surrogate or NUL gets 400 and is not stored."""
    assert reader.save(0, ANSWER | {"comment": comment}).status == 400
    assert reader.request("GET", "/api/cases/0").json["version"] == 0


@pytest.mark.parametrize("name", ["version", "seconds", "confidence"])
@pytest.mark.parametrize("n_digits", [400, 4000, 5000])
def test_long_numbers_are_rejected(reader: StudyClient, name: str, n_digits: int) -> None:
    """A number of any length gets 400, in the body and in the address."""
    fields = {"version": 0, "token": "12345678", "seconds": 1, "answer": ANSWER | {"confidence": 2}}
    text = json.dumps(fields)
    number = "7" * n_digits
    body = re.sub(rf'"{name}": \d+', f'"{name}": {number}', text)
    assert reader.request("PUT", "/api/cases/0", body.encode()).status == 400
    assert reader.request("GET", f"/api/cases/{number}").status == 400


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"1", b"\xff\xfe", b"[" * 9000, b'{"version": NaN}'])
def test_invalid_bodies_are_rejected(reader: StudyClient, body: bytes) -> None:
    """A body that is not the expected JSON gets 400, never 500."""
    assert reader.request("PUT", "/api/cases/0", body).status == 400


def test_the_size_of_a_body_is_limited(reader: StudyClient) -> None:
    """A body above the limit gets 413, with and without a true Content-Length."""
    assert reader.request("PUT", "/api/cases/0", b"x" * (MAX_BODY_BYTES + 1)).status == 413
    assert reader.request("PUT", "/api/cases/0", b"x", content_length="999999999").status == 413


def test_later_screens_are_not_available(reader: StudyClient) -> None:
    """Only the next screen is available, and the image after it; what comes later gets 404."""
    assert reader.request("GET", "/api/cases/0").status == 200
    assert reader.request("GET", "/api/cases/1").status == 404
    assert reader.request("GET", "/api/cases/1/images/0").status == 200
    assert reader.request("GET", "/api/cases/2/images/0").status == 404
    assert reader.request("GET", "/api/cases/0/images/1").status == 404
    assert reader.request("GET", "/api/cases/0/alike/0").status == 404
    assert reader.save(1).status == 404
    assert reader.request("GET", f"/api/cases/{N_SCREENS}").status == 404


def test_images_differ_only_in_pixels(reader: StudyClient) -> None:
    """Two images have the same headers and length, and no name, date or entity tag."""
    first, second = (reader.request("GET", f"/api/cases/{index}/images/0") for index in (0, 1))
    assert first.headers.items() == second.headers.items()
    assert len(first.body) == len(second.body)
    assert not {"etag", "last-modified", "content-disposition"} & {name.lower() for name in first.headers}


def test_too_many_wrong_codes_get_429(study: Path) -> None:
    """After ten wrong codes for a reader, that reader's right code must wait too, and other readers can log in."""
    with StudyServer(study) as server:
        client = StudyClient(server)
        code, other_code = read_codes(study)
        for _ in range(FailedAttempts.MAX_FAILURES):
            wrong_code = f"{code[:4]}-bbbb-cccc-dddd"
            assert client.request("POST", "/api/enter", {"code": wrong_code}).status == 403
        for next_code in (code, "aaaa-bbbb-cccc-dddd"):
            reply = client.request("POST", "/api/enter", {"code": next_code})
            assert reply.status == 429
            assert 0 < int(reply.headers["retry-after"]) <= 300
        StudyClient(server, other_code)


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nHost: ", b"PUT /api/cases/0 HTTP/1.1\r\n{headers}a"])
def test_slow_connections_shut_nobody_out(study: Path, start: bytes) -> None:
    """With 210 connections that send a byte a second of their headers or body, a reader is served within 5 s."""
    with StudyServer(study) as server, contextlib.ExitStack() as stack:
        host = server.url.removeprefix("http://").encode()
        headers = b"Host: " + host + b"\r\nOrigin: http://" + host
        headers += b"\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n"
        slow = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5)) for _ in range(210)
        ]
        end_s = time.monotonic() + 6
        while time.monotonic() < end_s:
            for connection in slow:
                with contextlib.suppress(OSError):
                    connection.sendall(start.replace(b"{headers}", headers))
            start = b"a"
            begin_s = time.monotonic()
            assert StudyClient(server).request("GET", "/").status == 200
            assert time.monotonic() - begin_s < 5
            time.sleep(1)
        slow[-1].settimeout(5)
        reply = b""
        with contextlib.suppress(OSError):
            reply = slow[-1].recv(100)
        assert reply == b"" or reply.startswith(b"HTTP/1.1 408")


def test_study_folder_is_private(study: Path) -> None:
    """Only the owner can open the folder of a study."""
    assert study.stat().st_mode & 0o777 == 0o700


def test_two_windows_overwrite_nothing(study: Path) -> None:
    """The second window gets 409 with the stored answer, can then replace it, and every version is kept."""
    with StudyServer(study) as server:
        first, second = (StudyClient(server, read_codes(study)[0]) for _ in range(2))
        assert first.save(0, ANSWER | {"confidence": 1}).json["version"] == 1
        conflict = second.save(0, ANSWER | {"confidence": 5})
        assert conflict.status == 409
        assert (conflict.json["version"], conflict.json["answer"]["confidence"]) == (1, 1)
        assert second.save(0, ANSWER | {"confidence": 5}, version=1).json["version"] == 2
        assert first.request("GET", "/api/cases/0").json["answer"]["confidence"] == 5
        replies = [first.save(1, token="the-same-save") for _ in range(3)]
        assert [reply.json["version"] for reply in replies] == [1, 1, 1]
        with contextlib.closing(sqlite3.connect(study / "answers.sqlite")) as connection:
            assert connection.execute("SELECT count(*) FROM answers").fetchone() == (3,)


def test_readers_can_work_at_the_same_time(study: Path) -> None:
    """Two readers in four windows each: each answer is stored once, and readers do not affect each other."""
    statuses: list[int] = []
    with StudyServer(study) as server:
        windows = [StudyClient(server, code) for code in read_codes(study) for _ in range(4)]

        def answer_screens(window: StudyClient) -> None:
            for position in range(8):
                statuses.append(window.save(position).status)

        threads = [threading.Thread(target=answer_screens, args=(window,)) for window in windows]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(statuses) <= {200, 409, 404}
        answers = AnswerStore(study / "answers.sqlite", read_served_study(study).study)
        assert statuses.count(200) == 16
        for reader in (1, 2):
            assert answers.get_versions(reader) == dict.fromkeys(range(8), 1)


def test_acknowledged_answers_survive_a_kill(study: Path) -> None:
    """Killed repeatedly while answers arrive, the server loses none that it acknowledged, and sessions continue."""
    with StudyServer(study) as server:
        reader = StudyClient(server, read_codes(study)[0])
        acknowledged: dict[int, int] = {}
        for kill in range(3):

            def answer_screens() -> None:
                for position in range(len(acknowledged), N_SCREENS):
                    try:
                        reply = reader.save(position, ANSWER | {"confidence": 1 + position % 5, "findings": []})
                    except OSError:
                        return
                    if reply.status in (200, 409):
                        acknowledged[position] = 1 + position % 5

            thread = threading.Thread(target=answer_screens)
            n_before = len(acknowledged)
            thread.start()
            while thread.is_alive() and len(acknowledged) < n_before + 2:
                time.sleep(0.001)
            thread.join(0.004 * kill)
            server.kill()
            thread.join()
            server.start()
            for position, confidence in acknowledged.items():
                assert reader.request("GET", f"/api/cases/{position}").json["answer"]["confidence"] == confidence
        assert acknowledged


def test_a_session_ends_with_logout(study: Path) -> None:
    """After logout the cookie is invalid; a new session continues with the next screen."""
    with StudyServer(study) as server:
        first = StudyClient(server, read_codes(study)[0])
        first.save(0)
        assert first.request("POST", "/api/leave", {}).status == 204
        assert first.request("GET", "/api/session").status == 401
        assert StudyClient(server, read_codes(study)[0]).request("GET", "/api/session").json["next"] == 1


def test_a_lesson_follows_the_answer(study: Path) -> None:
    """In teach mode, the classifier's output and similar images come with the reply to the answer, not before.

    Only synthetic images are shown, each once.
    """
    with StudyServer(study, "--mode", "teach") as server:
        reader = StudyClient(server, read_codes(study)[0])
        session = reader.request("GET", "/api/session").json
        assert session["teach"]
        assert session["n"] == (DESIGN.n + DESIGN.practice) // 2
        unanswered = reader.request("GET", "/api/cases/0").json
        assert "lesson" not in unanswered
        assert reader.request("GET", "/api/cases/0/alike/0").status == 404
        lesson = reader.save(0).json["lesson"]
        assert len(lesson["classifier"]) == 14
        assert lesson["finding"] in lesson["present"]
        for index in range(lesson["n_alike"]):
            assert reader.request("GET", f"/api/cases/0/alike/{index}").body.startswith(b"\x89PNG")
        assert reader.request("GET", "/api/cases/0").json["lesson"] == lesson
        assert (study / "lessons.sqlite").exists()
        assert not (study / "answers.sqlite").exists()
