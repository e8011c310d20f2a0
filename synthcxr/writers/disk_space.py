"""Whether a dataset fits on its disk: asked before hours of work, and said in one line where the answer comes late."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from synthcxr.errors import ConfigError, DataError
from synthcxr.writers.formats.store import Format

_BYTES_PER_PIXEL = {"png": 0.5, "webdataset": 0.5, "dicom": 1.0}
_BYTES_PER_RECORD = 1500
_FULL = (errno.ENOSPC, errno.EDQUOT)


def estimate(n_images: int, *, resolution: int, latent: int, form: Format) -> int:
    """Bytes that `n_images` take at least: a film's PNG is rarely below half a byte a pixel, DICOM is a byte."""
    return n_images * (int(resolution**2 * _BYTES_PER_PIXEL[form]) + 4 * latent + _BYTES_PER_RECORD)


def check(out: Path, n_bytes: int) -> None:
    """ConfigError where `out` cannot be written, DataError where its disk has no room for `n_bytes`."""
    existing = next(folder for folder in out.parents if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(f"{out}: {existing} cannot be written; choose another --out")
    free = shutil.disk_usage(existing).free
    if free < n_bytes:
        raise DataError(
            f"{out}: needs about {readable(n_bytes)}, {readable(free)} are free; make room or ask for fewer"
        )


@contextlib.contextmanager
def full_disk_is_one_line(out: Path) -> Iterator[None]:
    """Turn the system's error for a full disk into a DataError that says how to go on."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DataError(f"{out}: the disk is full; make room and run the same command again: it goes on") from error


def readable(n_bytes: int) -> str:
    """Bytes for a reader: "12 MB"."""
    for unit in ("kB", "MB", "GB"):
        n_bytes, size = n_bytes // 1000, n_bytes / 1000
        if size < 1000:
            return f"{size:.1f} {unit}" if size < 10 else f"{size:.0f} {unit}"
    return f"{n_bytes / 1000:.1f} TB"
