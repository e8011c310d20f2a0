"""Disk space: estimate what a dataset needs before it is generated."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from synthcxr.errors import ConfigError, DataError
from synthcxr.writers.formats.store import FORMATS

_BYTES_PER_RECORD = 1500


def estimate_image_bytes(image_format: str, *, resolution: int, latent: int) -> int:
    """Estimate the bytes that one image with its latent and its rows takes at least.

    A PNG of an X-ray is rarely smaller than half a byte per pixel. DICOM takes one byte per pixel.
    """
    return int(resolution**2 * FORMATS.load(image_format).bytes_per_pixel) + 4 * latent + _BYTES_PER_RECORD


def check_free_space(out: Path, n_bytes: int) -> None:
    """Raise ConfigError if `out` is not writable, and DataError if its disk has less than `n_bytes` free."""
    existing = next(folder for folder in out.parents if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(f"{out}: {existing} is not writable; choose another --out")
    free = shutil.disk_usage(existing).free
    if free < n_bytes:
        raise DataError(
            f"{out}: needs about {format_bytes(n_bytes)}, but only {format_bytes(free)} are free;"
            " free some space or request fewer images"
        )


def format_bytes(n_bytes: int) -> str:
    """Format a size with two or three digits, such as "12 MB"."""
    for unit in ("kB", "MB", "GB"):
        n_bytes, size = n_bytes // 1000, n_bytes / 1000
        if size < 1000:
            return f"{size:.1f} {unit}" if size < 10 else f"{size:.0f} {unit}"
    return f"{n_bytes / 1000:.1f} TB"
