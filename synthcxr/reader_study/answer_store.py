"""The readers' answers in SQLite: every version is kept, the last one stands, and what was acknowledged is on disk.

WAL mode with synchronous FULL: a commit is flushed before it returns, so that a process may be killed at any moment.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import secrets
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from synthcxr.errors import DataError
from synthcxr.reader_study import answer as answers
from synthcxr.reader_study.answer import Answer, Save

FILES = {False: "answers.sqlite", True: "lessons.sqlite"}
IDLE_S = 12 * 3600
_WAIT_S = 15
_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (study TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS answers (
  reader INTEGER, position INTEGER, version INTEGER, token TEXT NOT NULL, answer TEXT NOT NULL, seconds REAL NOT NULL,
  saved_at TEXT NOT NULL, PRIMARY KEY (reader, position, version)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions (token TEXT PRIMARY KEY, reader INTEGER NOT NULL, seen_at REAL NOT NULL);
"""


@dataclasses.dataclass(frozen=True)
class Held:
    """The answer that stands, its version (1 for the first) and the seconds of all versions together."""

    answer: Answer
    version: int
    seconds: float


class Conflict(Exception):
    """Another window has answered since; `held` is its answer."""

    def __init__(self, held: Held) -> None:
        super().__init__("answered in another window")
        self.held = held


class Answers:
    """The database of one study, or of its lessons. Every call opens it anew, so that any thread may call."""

    def __init__(self, path: Path, study: str) -> None:
        """Open it, or make it; DataError where it is of another study or no database of ours."""
        self._path = path
        try:
            with self._open() as held:
                held.execute("PRAGMA journal_mode = WAL")
                held.executescript(_SCHEMA)
                held.execute("INSERT INTO about SELECT ? WHERE NOT EXISTS (SELECT * FROM about)", (study,))
                held.commit()
                (found,) = held.execute("SELECT study FROM about").fetchone()
            path.chmod(0o600)
        except sqlite3.Error as error:
            raise DataError(f"{path}: cannot be used as the answers' database ({error})") from error
        if found != study:
            raise DataError(f"{path}: holds the answers of another study; move it away")

    def get(self, reader: int, position: int) -> Held | None:
        """What stands for a screen of a reader."""
        with self._open() as held:
            return self._held(held, reader, position)

    def versions(self, reader: int) -> dict[int, int]:
        """The version that stands of every screen that the reader has answered."""
        with self._open() as held:
            asked = "SELECT position, max(version) FROM answers WHERE reader = ? GROUP BY position"
            return dict(held.execute(asked, (reader,)).fetchall())

    def save(self, reader: int, position: int, save: Save) -> int:
        """Keep an answer over the version that it was given for, and return its own; Conflict where that is past.

        The same save again, after a reply that was lost, changes nothing.
        """
        with self._open() as held:
            held.execute("BEGIN IMMEDIATE")
            last = held.execute(
                "SELECT version, token FROM answers WHERE reader = ? AND position = ? ORDER BY version DESC LIMIT 1",
                (reader, position),
            ).fetchone() or (0, "")
            if last[1] == save.token:
                return int(last[0])
            if last[0] != save.version:
                standing = self._held(held, reader, position)
                if standing is not None:
                    raise Conflict(standing)
                raise DataError("version: there is no answer yet")
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            row = (reader, position, save.version + 1, save.token, save.answer.as_json(), save.seconds, now)
            held.execute("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            held.commit()
            return save.version + 1

    def everything(self) -> list[tuple[int, int, str, float]]:
        """Reader, position, last answer as JSON and all its seconds, of every screen that was answered."""
        with self._open() as held:
            return held.execute(
                "SELECT reader, position, answer, total FROM answers"
                " JOIN (SELECT reader, position, max(version) AS version, sum(seconds) AS total FROM answers"
                " GROUP BY reader, position) USING (reader, position, version) ORDER BY reader, position"
            ).fetchall()

    def enter(self, reader: int) -> str:
        """A new session's token, of which a digest is kept; sessions that are long idle are forgotten."""
        token = secrets.token_urlsafe(32)
        with self._open() as held:
            held.execute("DELETE FROM sessions WHERE seen_at < ?", (time.time() - IDLE_S,))
            held.execute("INSERT INTO sessions VALUES (?, ?, ?)", (_digest(token), reader, time.time()))
            held.commit()
        return token

    def reader_of(self, token: str) -> int | None:
        """Whose session this is, None for nobody's or one that was idle too long."""
        now = time.time()
        with self._open() as held:
            found = held.execute("SELECT reader, seen_at FROM sessions WHERE token = ?", (_digest(token),)).fetchone()
            if found is None or found[1] < now - IDLE_S:
                return None
            if found[1] < now - 60:
                held.execute("UPDATE sessions SET seen_at = ? WHERE token = ?", (now, _digest(token)))
                held.commit()
            return int(found[0])

    def leave(self, token: str) -> None:
        """End a session."""
        with self._open() as held:
            held.execute("DELETE FROM sessions WHERE token = ?", (_digest(token),))
            held.commit()

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self._path, timeout=_WAIT_S)) as held:
            held.execute("PRAGMA synchronous = FULL")
            yield held

    def _held(self, held: sqlite3.Connection, reader: int, position: int) -> Held | None:
        rows = held.execute(
            "SELECT answer, version, seconds FROM answers WHERE reader = ? AND position = ? ORDER BY version",
            (reader, position),
        ).fetchall()
        if not rows:
            return None
        last = answers.of_json(rows[-1][0])
        return Held(last, int(rows[-1][1]), sum(row[2] for row in rows))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8")).hexdigest()
