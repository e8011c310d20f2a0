"""The journal of an unfinished `prepare`: the films that are packed, one JSON line each, after a line with the request.

Lines are added every few seconds, after the images that they describe are on the disk. A process may be killed at any
moment: readers stop at the first line that is incomplete or invalid.
"""

from __future__ import annotations

import dataclasses
import json
import os
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
    """What shows that a file was changed: its length in bytes and the time of its last change in nanoseconds."""

    n_bytes: int
    changed_ns: int

    @classmethod
    def read(cls, origin: str) -> FileState | None:
        """The state of the file of a film; None if `origin` is not the path of a file."""
        try:
            status = os.stat(origin)  # noqa: PTH116  unlike Path.stat, it is right for any text
        except (OSError, ValueError):
            return None
        return cls(status.st_size, status.st_mtime_ns)


@dataclasses.dataclass(frozen=True)
class SizedFilm:
    """A film whose header can be read, its shorter side in pixels, and the state of its file, if it has one."""

    film: Film
    size: int
    file: FileState | None


@dataclasses.dataclass(frozen=True)
class JournalEntry:
    """A film that was packed, with the sha256 of its largest square; the sha256 of a film that was left out is "".

    The path of its file is stored as a digest, because the paths of an archive may name patients.
    """

    image_index: str
    origin_digest: str
    size: int
    file: FileState
    sha256: str

    def is_of(self, sized: SizedFilm) -> bool:
        """Whether the entry describes this film, and its file was not changed since."""
        return sized.file is not None and self == self.of(sized, sized.file, self.sha256)

    @classmethod
    def of(cls, sized: SizedFilm, file: FileState, sha256: str) -> JournalEntry:
        """The entry of a film."""
        origin_digest = digests.sha256_bytes(os.fsencode(sized.film.origin))[:16]
        return cls(sized.film.image_index, origin_digest, sized.size, file, sha256)


@dataclasses.dataclass(frozen=True)
class _Head:
    request: str


class PackingJournal:
    """Appends to one journal file, which is made with the first entry, and only for a request that is not ""."""

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
        if entries:
            atomic.write_text(self._path, "".join([_format(_Head(self._request)), *map(_format, entries)]))
        else:
            self._path.unlink(missing_ok=True)

    def add(self, sized: SizedFilm, sha256: str, *, flush: Callable[[], None]) -> None:
        """Add a film, and now and then write the journal, after `flush` has brought the images to the disk.

        Nothing is added after a film that is not a file of its own: it cannot be seen whether it changes.
        """
        if sized.file is None:
            self._is_resumable = False
        if sized.file is None or not self._is_resumable:
            return
        self._waiting.append(JournalEntry.of(sized, sized.file, sha256))
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


def _format(line: _Head | JournalEntry) -> str:
    return json.dumps(dataclasses.asdict(line)) + "\n"


def _parse_lines(file: BinaryIO, line_type: type[Line]) -> Iterator[Line]:
    """The lines up to the first that is incomplete or not of this type."""
    while (raw := file.readline(_MAX_LINE)).endswith(b"\n"):
        try:
            yield parsing.parse_json(line_type, raw, JOURNAL_FILE)
        except DataError:
            return
