"""Caches arrays on disk, in a folder that git ignores, under a digest of everything that they depend on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from synthcxr.errors import DataError
from synthcxr.evaluation.features import row_blocks
from synthcxr.evaluation.features.engine import Outputs
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
    path = _find_path(folder, key)
    stored = _read(path)
    if stored is not None:
        return stored
    arrays = compute()
    try:
        _write(path, arrays)
    except OSError as error:
        _report_failure(folder, error)
    return arrays


def load_or_compute_rows(
    folder: Path, key: Mapping[str, Any], compute_blocks: Callable[[], Iterator[Outputs]], n: int
) -> Outputs:
    """Like `load_or_compute`, for arrays of `n` rows that are computed in blocks and may be larger than the memory.

    The blocks are those of `row_blocks`, and so are the errors. `compute_blocks` begins with the first row; it is
    called again if the disk refuses a later block. The arrays are read-only and mapped from the file: the system reads
    a part when it is used, and can drop it from memory at any time. Where the file cannot be written or mapped, the
    arrays are in memory.
    """
    path = _find_path(folder, key)
    stored = _map(path)
    if stored is not None:
        return stored
    try:
        _create_folder(folder)
        row_blocks.write_blocks(path, _mark_errors(compute_blocks()), n)
    except _ComputationError as error:
        raise error.cause from None
    except OSError as error:
        _report_failure(folder, error)
    stored = _map(path)
    return row_blocks.join_blocks(compute_blocks(), n) if stored is None else stored


class _ComputationError(Exception):
    """An OSError of a computation, which is not one of the file that its result is written to."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause)
        self.cause = cause


def _mark_errors(blocks: Iterator[Outputs]) -> Iterator[Outputs]:
    try:
        yield from blocks
    except OSError as error:
        raise _ComputationError(error) from error


def _find_path(folder: Path, key: Mapping[str, Any]) -> Path:
    return folder / f"{digests.fingerprint(key)}.npz"


def _read(path: Path) -> dict[str, NDArray[Any]] | None:
    try:
        return numpy_files.read_npz(path)
    except DataError:
        return None


def _map(path: Path) -> dict[str, NDArray[Any]] | None:
    """The arrays of a file, in memory where they cannot be mapped; None where it is absent or damaged."""
    try:
        return numpy_files.map_npz(path)
    except DataError:
        return _read(path)


def _write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    _create_folder(path.parent)
    with atomic.open_file(path, concurrent=True) as file:
        np.savez(file, allow_pickle=False, **arrays)


def _create_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")


def _report_failure(folder: Path, error: OSError) -> None:
    print_line(
        f"{folder}: cannot store features ({error.strerror or error}); they are computed each time they are needed"
    )
