"""Refusal to replace a folder that holds files of another origin."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from synthcxr.errors import DataError


def refuse_strangers(folder: Path, ours: Iterable[str]) -> None:
    """DataError unless `folder` is absent or holds none but our own files: what else lies there is not replaced."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file; give another --out")
    strange = sorted({entry.name for entry in folder.iterdir()} - set(ours)) if folder.is_dir() else []
    if strange:
        raise DataError(f"{folder}: holds something else ({strange[0]}); give another --out or empty it")
