"""SQLite files: what they hold, errors of one line, and new files that appear complete or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from synthcxr.errors import ArtifactError
from synthcxr.storage import clean_up, stop_signals
from synthcxr.storage.locks import LockedError, file_lock

BUSY_TIMEOUT_S = 5.0
CREATION_TIMEOUT_S = 120.0
UNFINISHED_SUFFIX = ".unfinished"
_PRIMARY_CODE = 0xFF  # an extended result code of SQLite has its primary code in the lowest byte
_REASONS = {
    sqlite3.SQLITE_NOTADB: "is not a database; move it away to start a new one",
    sqlite3.SQLITE_CORRUPT: "is damaged or cut short; restore a copy of it, or move it away to start a new one",
    sqlite3.SQLITE_BUSY: "another process has locked it; wait until that process has finished, and try again",
    sqlite3.SQLITE_LOCKED: "another process has locked it; wait until that process has finished, and try again",
    sqlite3.SQLITE_READONLY: "is not writable; give write access to the file and its folder",
    sqlite3.SQLITE_PERM: "is not readable and writable; give access to the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; give access to the file and its folder",
    sqlite3.SQLITE_FULL: "cannot be written, because the disk is full; free some space",
    sqlite3.SQLITE_IOERR: "cannot be read or written; check the disk",
}


class UnfinishedStoreError(ArtifactError):
    """The creation of a store was interrupted, and nothing is in it."""


@dataclasses.dataclass(frozen=True)
class Contents:
    """The tables of a database that have rows, those that have none, and its schema revisions by Alembic."""

    filled: frozenset[str]
    empty: frozenset[str]
    revisions: tuple[str, ...]

    @property
    def tables(self) -> frozenset[str]:
        """The names of all tables."""
        return self.filled | self.empty


def describe_error(error: Exception) -> str:
    """Say what is wrong and what to do, by the result code of SQLite; "" for an error that is not of the file."""
    code = getattr(error, "sqlite_errorcode", None)
    return "" if code is None else _REASONS.get(code & _PRIMARY_CODE, "")


@contextlib.contextmanager
def open_database(path: Path, *, name: str) -> Iterator[sqlite3.Connection]:
    """Open an existing database; ArtifactError of one line, with the displayed `name`, for whatever is wrong with it.

    A file that is locked for longer than BUSY_TIMEOUT_S seconds counts as wrong.
    """
    if not path.is_file():  # a pipe would wait for ever
        raise ArtifactError(f"{name}: is not a file; give another address")
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S)
        ) as database:
            yield database
    except (sqlite3.Error, UnicodeDecodeError) as error:  # Python decodes SQLite's message, which quotes the file
        reason = describe_error(error) or f"cannot be used ({error})"
        raise ArtifactError(f"{name}: {reason}") from error


def read_contents(path: Path, *, name: str) -> Contents:
    """Read which tables have rows; ArtifactError as `open_database`."""
    with open_database(path, name=name) as database:
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        tables = {str(table) for (table,) in database.execute(query)}
        filled = {table for table in tables if database.execute(f"SELECT 1 FROM {_quote(table)} LIMIT 1").fetchone()}
        revisions: list[str] = []
        if "alembic_version" in filled:
            revisions = [str(revision) for (revision,) in database.execute("SELECT version_num FROM alembic_version")]
    return Contents(frozenset(filled), frozenset(tables - filled), tuple(sorted(revisions)))


def create(path: Path, build: Callable[[Path], None], *, name: str, is_complete: Callable[[], bool]) -> Path | None:
    """Build a database beside `path` and rename it into place, under a lock between processes.

    Nothing happens if another process has made it meanwhile, as `is_complete` says. An unfinished file at `path` is
    kept under a name that is returned. Raises ArtifactError if another process needs too long.
    """
    if is_complete():
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")

    def remove_partial() -> None:
        for leftover in partial.parent.glob(f"{partial.name}*"):  # SQLite adds -journal, -wal and -shm
            leftover.unlink(missing_ok=True)

    try:
        with (
            file_lock(path.with_name(f"{path.name}.lock"), wait_s=CREATION_TIMEOUT_S),
            clean_up.ensured(remove_partial),
        ):
            if is_complete():
                return None
            remove_partial()
            build(partial)
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            with stop_signals.deferred():
                kept = _keep_aside(path) if path.exists() else None
                partial.rename(path)
            return kept
    except LockedError:
        raise ArtifactError(
            f"{name}: another process is making it; wait until it has finished, and try again"
        ) from None
    except OSError as error:
        raise ArtifactError(f"{name}: cannot be made ({error.strerror or error})") from error


def _keep_aside(path: Path) -> Path:
    """Rename an unfinished file to a free name."""
    kept, number = path.with_name(path.name + UNFINISHED_SUFFIX), 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}{UNFINISHED_SUFFIX}-{number}")
    return path.rename(kept)


def _quote(table: str) -> str:
    return '"' + table.replace('"', '""') + '"'
