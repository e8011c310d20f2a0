"""The answers and sessions of readers in an SQLite database.

Every version of an answer is kept; the last one counts. WAL mode with synchronous FULL flushes a commit to disk before
it returns, so that an acknowledged answer survives a kill of the process at any moment.
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
from synthcxr.reader_study.answer import Answer, SaveRequest, answer_from_json

STUDY_DATABASE, TEACHING_DATABASE = "answers.sqlite", "lessons.sqlite"
MAX_IDLE_S = 12 * 3600
_LOCK_TIMEOUT_S = 15
_SEEN_INTERVAL_S = 60
_PRIMARY_CODE = 0xFF
_TEMPORARY_CODES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (study TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS answers (
  reader INTEGER, position INTEGER, version INTEGER, token TEXT NOT NULL, answer TEXT NOT NULL, seconds REAL NOT NULL,
  saved_at TEXT NOT NULL, PRIMARY KEY (reader, position, version)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions (token TEXT PRIMARY KEY, reader INTEGER NOT NULL, seen_at REAL NOT NULL);
"""


@dataclasses.dataclass(frozen=True)
class StoredAnswer:
    """The last version of an answer, its version number, counted from 1, and the seconds of all versions together."""

    answer: Answer
    version: int
    seconds: float


class AnswerConflict(Exception):
    """The answer was changed in another window; `stored` is the answer in the database."""

    def __init__(self, stored: StoredAnswer) -> None:
        super().__init__("answered in another window")
        self.stored = stored


class AnswerStore:
    """The database of one study, or of its lessons. Every method opens a connection, so that any thread can call it."""

    def __init__(self, path: Path, study: str) -> None:
        """Open or create the database; DataError if it belongs to another study or is not such a database."""
        self._path = path
        try:
            with self._connect() as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(_SCHEMA)
                connection.execute("INSERT INTO about SELECT ? WHERE NOT EXISTS (SELECT * FROM about)", (study,))
                connection.commit()
                (stored_study,) = connection.execute("SELECT study FROM about").fetchone()
            path.chmod(0o600)
        except sqlite3.Error as error:
            raise self._not_usable(error) from error
        if stored_study != study:
            raise DataError(f"{path}: contains the answers of another study; move it away")

    def get(self, reader: int, position: int) -> StoredAnswer | None:
        """The stored answer of a reader to the screen at this position."""
        with self._connect() as connection:
            return self._get(connection, reader, position)

    def get_versions(self, reader: int) -> dict[int, int]:
        """The last version of each answer of the reader, by position of the screen."""
        with self._connect() as connection:
            query = "SELECT position, max(version) FROM answers WHERE reader = ? GROUP BY position"
            return dict(connection.execute(query, (reader,)).fetchall())

    def save(self, reader: int, position: int, request: SaveRequest) -> int:
        """Store an answer as the next version and return that version.

        The same request again, sent because the reply was lost, changes nothing. Raises AnswerConflict if the last
        version is not the one that the request replaces.
        """
        with self._connect() as connection:
            connection.execute("BEGIN IMMEDIATE")
            last_version, last_token = connection.execute(
                "SELECT version, token FROM answers WHERE reader = ? AND position = ? ORDER BY version DESC LIMIT 1",
                (reader, position),
            ).fetchone() or (0, "")
            if last_token == request.token:
                return int(last_version)
            if last_version != request.version:
                stored = self._get(connection, reader, position)
                if stored is not None:
                    raise AnswerConflict(stored)
                raise DataError("version: there is no answer yet; expected 0")
            version = request.version + 1
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            row = (reader, position, version, request.token, request.answer.to_json(), request.seconds, now)
            connection.execute("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            connection.commit()
            return version

    def read_all(self) -> list[tuple[int, int, str, float]]:
        """Reader, position, last answer as JSON and total seconds of every answered screen."""
        with self._connect() as connection:
            rows = connection.execute(
                "SELECT reader, position, answer, total FROM answers"
                " JOIN (SELECT reader, position, max(version) AS version, sum(seconds) AS total FROM answers"
                " GROUP BY reader, position) USING (reader, position, version) ORDER BY reader, position"
            ).fetchall()
        for row in rows:
            if tuple(map(type, row)) != (int, int, str, float) or min(row[:2]) < 0:
                raise DataError(f"{self._path}: contains a row that is no answer ({str(row)[:200]}); move it away")
        return rows

    def start_session(self, reader: int) -> str:
        """Start a session and return its token. The database stores only a digest. Expired sessions are deleted."""
        token = secrets.token_urlsafe(32)
        with self._connect() as connection:
            connection.execute("DELETE FROM sessions WHERE seen_at < ?", (time.time() - MAX_IDLE_S,))
            connection.execute("INSERT INTO sessions VALUES (?, ?, ?)", (_digest(token), reader, time.time()))
            connection.commit()
        return token

    def find_reader(self, token: str) -> int | None:
        """The reader of a session; None if the token is unknown or the session was idle for more than MAX_IDLE_S."""
        now = time.time()
        with self._connect() as connection:
            row = connection.execute(
                "SELECT reader, seen_at FROM sessions WHERE token = ?", (_digest(token),)
            ).fetchone()
            if row is None or row[1] < now - MAX_IDLE_S:
                return None
            if row[1] < now - _SEEN_INTERVAL_S:
                connection.execute("UPDATE sessions SET seen_at = ? WHERE token = ?", (now, _digest(token)))
                connection.commit()
            return int(row[0])

    def end_session(self, token: str) -> None:
        """End a session."""
        with self._connect() as connection:
            connection.execute("DELETE FROM sessions WHERE token = ?", (_digest(token),))
            connection.commit()

    @contextlib.contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        """Open a connection; DataError for a damaged database, sqlite3.Error where trying again may help."""
        try:
            with contextlib.closing(sqlite3.connect(self._path, timeout=_LOCK_TIMEOUT_S)) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                yield connection
        except (sqlite3.DatabaseError, OverflowError, UnicodeDecodeError) as error:
            if getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE in _TEMPORARY_CODES:
                raise
            raise self._not_usable(error) from error

    def _not_usable(self, error: Exception) -> DataError:
        return DataError(f"{self._path}: is not a usable database of answers ({error}); move it away")

    def _get(self, connection: sqlite3.Connection, reader: int, position: int) -> StoredAnswer | None:
        rows = connection.execute(
            "SELECT answer, version, seconds FROM answers WHERE reader = ? AND position = ? ORDER BY version",
            (reader, position),
        ).fetchall()
        if not rows:
            return None
        text, version, _ = rows[-1]
        return StoredAnswer(answer_from_json(text), int(version), sum(seconds for _, _, seconds in rows))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8")).hexdigest()
