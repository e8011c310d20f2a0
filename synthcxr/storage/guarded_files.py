"""What all loaders share: only regular files of limited size are read, and every failure is one error with the path.

The libraries that parse a format raise almost any exception for a broken file. A loader therefore catches all of
them: this is the only module, besides the last resort of the command line, with a broad `except`.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from synthcxr.errors import DataError, SynthCXRError

ErrorType = type[SynthCXRError]
MIB = 2**20
MAX_TEXT_BYTES = 16 * MIB
_SMALLEST_BUFFER = 2**16
_MAX_REASON_LENGTH = 200


class RefusedContentError(ValueError):
    """Content that a loader refuses; `report_failure` adds the path."""


@contextlib.contextmanager
def report_failure(name: Path | str, content: str, *, error: ErrorType = DataError, advice: str = "") -> Iterator[None]:
    """Turn every exception in the block into `error`: NAME: what happened; ADVICE. `content` is what the file holds.

    Errors of synthcxr pass unchanged.
    """
    try:
        yield
    except SynthCXRError:
        raise
    except Exception as cause:  # noqa: BLE001  parsers raise anything for a broken file
        ending = f"; {advice}" if advice else ""
        raise error(f"{name}: {_describe(cause, content)}{ending}") from cause


@contextlib.contextmanager
def open_regular(path: Path, max_bytes: int) -> Iterator[BinaryIO]:
    """Open a regular file of at most `max_bytes`. Call it inside `report_failure`.

    A folder, a named pipe or a device is refused before it is opened, because opening or reading it may never end.
    """
    require_regular(path, max_bytes)
    with path.open("rb") as file:
        yield file


def is_file(path: Path) -> bool:
    """Whether a file exists; False also for a name that no file can have, such as one that is too long."""
    try:
        return path.is_file()
    except OSError:
        return False


def require_regular(path: Path, max_bytes: int) -> None:
    """Raise FileNotFoundError or RefusedContentError unless `path` is a regular file of at most `max_bytes`."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise RefusedContentError("is a folder, expected a file")
    if not stat.S_ISREG(status.st_mode):
        raise RefusedContentError("is a pipe or a device, expected a file")
    if status.st_size > max_bytes:
        raise RefusedContentError(f"has {status.st_size:,} bytes, more than the {max_bytes:,} that are read")


def read_bytes(
    path: Path, content: str, *, max_bytes: int = MAX_TEXT_BYTES, error: ErrorType = DataError, advice: str = ""
) -> bytes:
    """Read a whole file."""
    with report_failure(path, content, error=error, advice=advice), open_regular(path, max_bytes) as file:
        return _read_whole(file, max_bytes)


def read_text(path: Path, *, error: ErrorType = DataError, advice: str = "") -> str:
    """Read a text file in UTF-8, with line ends as \\n."""
    with report_failure(path, "UTF-8 text", error=error, advice=advice), open_regular(path, MAX_TEXT_BYTES) as file:
        return _read_whole(file, MAX_TEXT_BYTES).decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def _read_whole(file: BinaryIO, max_bytes: int) -> bytes:
    """Read a file of at most `max_bytes`, with a buffer of the size of the file and not of the limit."""
    return file.read(min(max_bytes, max(os.fstat(file.fileno()).st_size, _SMALLEST_BUFFER)))


def require_encodable(text: str) -> None:
    """Raise RefusedContentError for text with NUL or with a surrogate without partner, which no UTF-8 file can hold."""
    if "\0" in text or (not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)):
        raise RefusedContentError(f"contains characters that are not text: {text[:40]!r}")


def _describe(cause: Exception, content: str) -> str:
    if isinstance(cause, FileNotFoundError):
        return "no such file"
    if isinstance(cause, RefusedContentError):
        return str(cause)
    if isinstance(cause, OSError) and cause.strerror:
        return f"not readable as {content} ({cause.strerror})"
    reason = " ".join(str(cause).split())
    if len(reason) > _MAX_REASON_LENGTH:
        reason = f"{reason[:_MAX_REASON_LENGTH]}..."
    return f"not readable as {content} ({reason or type(cause).__name__})"
