"""What a reader study reads: the study, its key and lessons, stored answers, and requests of browsers."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz.parser import OpenParser, Parser, parse_file

ANSWER = {"confidence": 2, "quality": 3, "findings": ["Mass"], "comment": "faint"}
PAIR_ANSWER = {"confidence": 4, "quality": None, "findings": [], "comment": ""}
SAVE_REQUEST = {"answer": ANSWER, "version": 0, "token": "0123456789abcdef", "seconds": 3.5}


def write_study(root: Path) -> Path:
    """Create a small study of phantoms, and answer its first screens."""
    from support.small_study import DESIGN, StudyInputs, create_study, write_dataset, write_films

    inputs = StudyInputs(write_films(root / "cxr", 30), write_dataset(root / "synthetic", 30))
    create_study(inputs, root / "study", DESIGN)
    write_answers(root / "study")
    return root / "study"


def write_answers(study: Path) -> None:
    """Store an answer of each reader to the first screens."""
    from synthcxr.reader_study.answer import parse_save_request
    from synthcxr.reader_study.answer_store import STUDY_DATABASE, AnswerStore
    from synthcxr.reader_study.public_files import read_served_study

    served = read_served_study(study)
    store = AnswerStore(study / STUDY_DATABASE, served.study)
    for reader in served.readers:
        for position, screen in enumerate(reader.cases[:12]):
            fields = SAVE_REQUEST | {"answer": PAIR_ANSWER if screen.is_pair else ANSWER}
            store.save(reader.number, position, parse_save_request(fields, is_pair=screen.is_pair))


def _open_study(root: Path) -> OpenParser:
    from synthcxr.reader_study.public_files import read_served_study

    study = write_study(root)
    path = study / "served" / "study.json"
    return OpenParser((path.read_bytes(),), parse_file(path, lambda: read_served_study(study)))


def _score(study: Path, *, analyse: bool = False) -> None:
    """Score all answers with the key, and analyse them, which takes long."""
    from synthcxr.reader_study.analysis import analyse_readings
    from synthcxr.reader_study.answer import answer_from_json
    from synthcxr.reader_study.answer_key import read_answer_key
    from synthcxr.reader_study.answer_store import STUDY_DATABASE, AnswerStore
    from synthcxr.reader_study.conclusions import draw_conclusions
    from synthcxr.reader_study.scored_answers import Reading, score_readings

    key = read_answer_key(study / "key")
    rows = AnswerStore(study / STUDY_DATABASE, key.study).read_all()
    readings = (Reading(reader, position, answer_from_json(text), seconds) for reader, position, text, seconds in rows)
    scored = score_readings(key, readings)
    if analyse:
        draw_conclusions(analyse_readings(scored, key, seed=1))


def _open_key(*, analyse: bool) -> Callable[[Path], OpenParser]:
    def open_parser(root: Path) -> OpenParser:
        study = write_study(root)
        path = study / "key" / "key.json"
        return OpenParser((path.read_bytes(),), parse_file(path, lambda: _score(study, analyse=analyse)))

    return open_parser


def _open_lessons(root: Path) -> OpenParser:
    from synthcxr.reader_study import teaching
    from synthcxr.reader_study.public_files import read_served_study

    study = write_study(root)
    served = read_served_study(study)
    path = study / "key" / teaching.LESSONS_FILE
    lessons = json.loads(path.read_bytes())

    def read() -> None:
        teaching.select_lesson_screens(served, teaching.read_lessons(study / "key"))

    return OpenParser((json.dumps(dict(list(lessons.items())[:3])).encode(),), parse_file(path, read))


def _open_database(root: Path) -> OpenParser:
    """The file of the database of answers."""
    from synthcxr.reader_study.answer_store import STUDY_DATABASE

    study = write_study(root)
    path = study / STUDY_DATABASE
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    example = path.read_bytes()

    def write_and_use(data: bytes) -> None:
        for other in study.glob(f"{STUDY_DATABASE}-*"):
            other.unlink()
        path.write_bytes(data)
        _use_store(study)
        _score(study)

    return OpenParser((example,), write_and_use)


def _use_store(study: Path) -> None:
    from synthcxr.reader_study.answer_store import STUDY_DATABASE, AnswerStore
    from synthcxr.reader_study.public_files import read_served_study

    store = AnswerStore(study / STUDY_DATABASE, read_served_study(study).study)
    store.get_versions(1)
    store.get(1, 0)
    store.end_session(store.start_session(1))
    store.find_reader("x")


def _open_rows(root: Path) -> OpenParser:
    """Rows of the database with other types and values, which SQLite lets anyone write."""
    from synthcxr.reader_study.answer_store import STUDY_DATABASE

    study = write_study(root)
    example = [[1, 3, 9, "t", json.dumps(ANSWER), 3.5, "2026-01-01"], [2, 3, 9, "t", json.dumps(ANSWER), 3.5, ""]]
    database = study / STUDY_DATABASE

    def use(data: bytes) -> None:
        try:
            with sqlite3.connect(database) as connection:
                connection.execute("DELETE FROM answers WHERE version = 9 OR position > 12")
                connection.executemany("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", json.loads(data))
        except (ValueError, TypeError, OverflowError, RecursionError, sqlite3.Error):
            return  # no database holds this
        finally:
            connection.close()
        _use_store(study)
        _score(study)

    return OpenParser((json.dumps(example).encode(),), use)


def _open_stored_answer(root: Path) -> OpenParser:
    from synthcxr.reader_study.answer import answer_from_json

    examples = tuple(json.dumps(answer).encode() for answer in (ANSWER, PAIR_ANSWER))
    return OpenParser(examples, lambda data: answer_from_json(data.decode("utf-8", "surrogateescape")))


def _open_requests(path: str, method: str, example: Any) -> Callable[[Path], OpenParser]:
    """A body that a browser sends to the application: the reply has a status below 500, and no exception passes."""

    def open_parser(root: Path) -> OpenParser:
        from support.small_study import read_codes

        from synthcxr.reader_study.answer_store import STUDY_DATABASE, AnswerStore
        from synthcxr.reader_study.app import build_app
        from synthcxr.reader_study.public_files import read_served_study
        from synthcxr.reader_study.request_guard import Origins

        study = write_study(root)
        served = read_served_study(study)
        answers = AnswerStore(study / STUDY_DATABASE, served.study)
        origins = Origins(frozenset({"http://127.0.0.1:1"}))
        app = build_app(study, served, answers, origins=origins, lessons=None, key_folder=study / "key")
        position = next(i for i, screen in enumerate(served.readers[0].cases) if not screen.is_pair)

        def send(body: bytes, url: str, verb: str, cookie: bytes = b"") -> dict[bytes, bytes]:
            return asyncio.run(_call(app, body, url, verb, cookie))

        code = json.dumps({"code": read_codes(study)[0]}).encode()
        cookie = send(code, "/api/enter", "POST").get(b"set-cookie", b"").partition(b";")[0]
        url = path.format(position=position)
        body = code if example is None else json.dumps(example).encode()
        return OpenParser((body,), lambda data: send(data, url, method, cookie))

    return open_parser


async def _call(app: Any, body: bytes, path: str, method: str, cookie: bytes) -> dict[bytes, bytes]:
    """Send one request to an ASGI application; return the headers of the reply, and raise for a server error."""
    from synthcxr.errors import DataError

    messages = [{"type": "http.request", "body": body, "more_body": False}]
    replies: list[Any] = []

    async def receive() -> Any:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        replies.append(message)

    headers = [(b"host", b"127.0.0.1:1"), (b"origin", b"http://127.0.0.1:1"), (b"cookie", cookie)]
    headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"headers": headers, "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 1), "scheme": "http"}
    await app(scope | {"http_version": "1.1", "asgi": {"version": "3.0"}, "root_path": ""}, receive, send)
    status = replies[0]["status"]
    if status >= 500:
        raise AssertionError(f"status {status}")
    if status >= 400 and status != 409:
        raise DataError(f"status {status}")
    return dict(replies[0]["headers"])


PARSERS = [
    Parser("study_json", "json", _open_study),
    Parser("key_json", "json", _open_key(analyse=False)),
    Parser("analysed_key_json", "json", _open_key(analyse=True), share=0.05),
    Parser("lessons_json", "json", _open_lessons),
    Parser("answers_file", "binary", _open_database),
    Parser("answers_rows", "json", _open_rows),
    Parser("stored_answer", "json", _open_stored_answer),
    Parser("login_request", "json", _open_requests("/api/enter", "POST", None)),
    Parser("save_request", "json", _open_requests("/api/cases/{position}", "PUT", SAVE_REQUEST)),
]
