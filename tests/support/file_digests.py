"""Digests of all files of a folder, to compare what two runs wrote."""

from __future__ import annotations

from pathlib import Path

from synthcxr.data.synthetic_dataset import RUN_FILE
from synthcxr.storage import digests


def digest_files(folder: Path) -> dict[str, str]:
    """Map each file below `folder` (relative path) to its sha256."""
    return {
        path.relative_to(folder).as_posix(): digests.sha256_file(path) for path in folder.rglob("*") if path.is_file()
    }


def digest_dataset(folder: Path) -> dict[str, str]:
    """The same for a synthetic dataset, without run.json, which has times."""
    return {name: digest for name, digest in digest_files(folder).items() if name != RUN_FILE}
