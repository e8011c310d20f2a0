"""What a folder contains: packed films, or a synthetic dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from synthcxr.data.synthetic_dataset import RUN_FILE
from synthcxr.errors import DataError
from synthcxr.storage import atomic

ABOUT_FILE = "dataset.json"
"""The file that describes packed films."""

Kind = Literal["films", "synthetic"]


def detect_kind(path: Path) -> Kind:
    """The kind of a finished dataset; DataError for anything else."""
    if (path / ABOUT_FILE).is_file():
        return "films"
    if (path / RUN_FILE).is_file():
        return "synthetic"
    if not path.exists():
        raise DataError(atomic.describe_absent(path))
    raise DataError(f"{path}: contains neither packed films nor a synthetic dataset")
