"""The system's errors for a full disk: add the path that could not be written, and say what to do."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from synthcxr.errors import DataError

_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EFBIG: "the file is larger than this file system or `ulimit -f` allows; raise the limit or write elsewhere",
}
DISK_FULL_ERRORS = tuple(_ADVICE)


@contextlib.contextmanager
def name_path(path: Path) -> Iterator[None]:
    """Add `path` to an error of a full disk that names no written path; many libraries leave it out.

    A failed copy or rename names its source first: the error then gets the path of its target.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL_ERRORS or (error.filename and error.filename2 is None):
            raise
        raise OSError(error.errno, error.strerror or str(error), str(error.filename2 or path)) from error


@contextlib.contextmanager
def report_full_disk(path: Path) -> Iterator[None]:
    """Turn the errors of a full disk into a DataError that names the file, or `path` if the file is not known."""
    try:
        with name_path(path):
            yield
    except shutil.Error as error:  # of a copied folder: (source, target, reason) of each file that failed
        source, target, reason = error.args[0][0] if isinstance(error.args[0], list) else ("", path, error)
        raise DataError(f"{target}: cannot be copied from {source} ({reason})") from error
    except OSError as error:
        if error.errno not in DISK_FULL_ERRORS:
            raise
        raise DataError(f"{error.filename}: {_ADVICE[error.errno]}") from error
