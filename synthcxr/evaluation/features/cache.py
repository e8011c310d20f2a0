"""Caches arrays on disk, in a folder that git ignores, under a digest of everything that they depend on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from synthcxr.errors import DataError
from synthcxr.storage import atomic, digests, numpy_files
from synthcxr.storage.progress import print_line

DEFAULT_FOLDER = Path(".cache/synthcxr/features")

Number = TypeVar("Number", np.float32, np.float64)


def load_or_compute(
    folder: Path, key: Mapping[str, Any], compute: Callable[[], dict[str, NDArray[Number]]]
) -> dict[str, NDArray[Number]]:
    """Load the arrays stored in `folder` under a JSON-serialisable key, or compute and store them.

    A damaged file is computed again.
    """
    path = folder / f"{digests.fingerprint(key)}.npz"
    stored = _read(path)
    if stored is not None:
        return stored
    arrays = compute()
    try:
        _write(path, arrays)
    except OSError as error:
        print_line(
            f"{folder}: cannot store features ({error.strerror or error}); they are computed each time they are needed"
        )
    return arrays


def _read(path: Path) -> dict[str, NDArray[Any]] | None:
    try:
        return numpy_files.read_npz(path)
    except DataError:
        return None


def _write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / ".gitignore").write_text("*\n", encoding="utf-8")
    with atomic.open_file(path, concurrent=True) as file:
        np.savez(file, allow_pickle=False, **arrays)
