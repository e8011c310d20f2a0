"""The journal of an unfinished `prepare`: the films that are packed, one JSON line each, after a line with the request.

Lines are added every few seconds, after the images that they describe are on the disk. A process may be killed at any
moment: readers stop at the first line that is incomplete or invalid.
"""

from __future__ import annotations

import dataclasses
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

from synthcxr.config import parsing
from synthcxr.data.films import Film
from synthcxr.errors import DataError
from synthcxr.storage import atomic, digests

JOURNAL_FILE = "packing.jsonl"
INTERVAL_S = 5.0
"""The time between two additions to the journal, and the most work that is lost if the process is killed."""
_MAX_LINE = 2**16

Line = TypeVar("Line")


@dataclasses.dataclass(frozen=True)
class FileState:
    """What shows that a file was changed or replaced; a false alarm only costs decoding it again."""

    n_bytes: int
    modified_ns: int
    changed_ns: int
    inode: int

    @classmethod
    def read(cls, file: Path | None) -> FileState | None:
        """The state of a file; None if it is absent or not a regular file."""
        try:
            status = None if file is None else file.stat()
        except (OSError, ValueError):
            return None
        if status is None or not stat.S_ISREG(status.st_mode):
            return None
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


@dataclasses.dataclass(frozen=True)
class SizedFilm:
    """A film whose header can be read, its shorter side in pixels, and the state of its file, if it has one."""

    film: Film
    size: int
    file: FileState | None

    @property
    def digest(self) -> str:
        """A digest of image index and path, which may name the patient."""
        name = f"{self.film.image_index}\0{self.film.file}"
        return digests.sha256_bytes(name.encode("utf-8", "surrogateescape"))[:32]


@dataclasses.dataclass(frozen=True)
class JournalEntry:
    """A film that was packed, with the sha256 of its largest square; the sha256 of a film that was left out is ""."""

    film: str
    size: int
    file: FileState
    sha256: str

    def is_of(self, sized: SizedFilm) -> bool:
        """Whether the entry describes this film, and its file was not changed since."""
        return (self.film, self.size, self.file) == (sized.digest, sized.size, sized.file)


@dataclasses.dataclass(frozen=True)
class _Head:
    request: str


class PackingJournal:
    """Appends to one journal file, which is made after the first seconds, and only for a request that is not ""."""

    def __init__(self, folder: Path, request: str) -> None:
        self._path = folder / JOURNAL_FILE
        self._request = request
        self._waiting: list[JournalEntry] = []
        self._next_time = time.monotonic() + INTERVAL_S
        self._is_resumable = bool(request)

    def read(self) -> list[JournalEntry]:
        """The entries of an earlier run of the same request."""
        if not self._request or not self._path.is_file():
            return []
        with self._path.open("rb") as file:
            head = next(_parse_lines(file, _Head), None)
            return list(_parse_lines(file, JournalEntry)) if head == _Head(self._request) else []

    def restart(self, entries: Sequence[JournalEntry]) -> None:
        """Replace the journal by these entries; without one, there is no file."""
        if not entries:
            for path in (self._path, atomic.partial_path(self._path)):
                path.unlink(missing_ok=True)
            return
        with atomic.open_file(self._path, fsync=True) as file:
            file.write("".join([_format(_Head(self._request)), *map(_format, entries)]).encode())

    def add(self, sized: SizedFilm, sha256: str, *, flush: Callable[[], None]) -> None:
        """Add a film, and now and then write the journal, after `flush` has brought the images to the disk.

        Nothing is added after a film without a file: it cannot be seen whether it changes.
        """
        self._is_resumable &= sized.file is not None
        if sized.file is None or not self._is_resumable:
            return
        self._waiting.append(JournalEntry(sized.digest, sized.size, sized.file, sha256))
        if time.monotonic() >= self._next_time:
            flush()
            self._write()
            self._next_time = time.monotonic() + INTERVAL_S

    def close(self) -> None:
        """Write the last entries, if the journal was ever written: a short run leaves none."""
        if self._waiting and self._path.is_file():
            self._write()

    def _write(self) -> None:
        lines: list[_Head | JournalEntry] = [*self._waiting]
        if not self._path.is_file():
            lines.insert(0, _Head(self._request))
        with self._path.open("a", encoding="utf-8") as file:
            file.write("".join(map(_format, lines)))
            file.flush()
            os.fsync(file.fileno())
        self._waiting = []


def describe_kept(partial: Path) -> str:
    """The end of the message of a failure: whether the partial folder keeps films for the next run."""
    return f", and {partial} keeps the packed films" if (partial / JOURNAL_FILE).is_file() else ""


def _format(line: _Head | JournalEntry) -> str:
    return json.dumps(dataclasses.asdict(line)) + "\n"


def _parse_lines(file: BinaryIO, line_type: type[Line]) -> Iterator[Line]:
    """The lines up to the first that is incomplete or not of this type."""
    while (raw := file.readline(_MAX_LINE)).endswith(b"\n"):
        try:
            yield parsing.parse_json(line_type, raw, JOURNAL_FILE)
        except DataError:
            return
