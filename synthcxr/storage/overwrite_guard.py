"""A guard against replacing a folder that contains files of other programs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from synthcxr.errors import DataError


def refuse_foreign_files(folder: Path, own_names: Iterable[str]) -> None:
    """Raise DataError if `folder` contains a file that is not among `own_names`, or is itself a file."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file; give another --out")
    foreign = sorted({entry.name for entry in folder.iterdir()} - set(own_names)) if folder.is_dir() else []
    if foreign:
        raise DataError(
            f"{folder}: contains {foreign[0]}, which synthcxr did not write; give another --out or move it away"
        )
