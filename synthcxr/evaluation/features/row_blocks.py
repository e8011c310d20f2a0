"""Named arrays of n rows that come in blocks: joined in memory, or written to a file from which they can be mapped.

Each block is a dictionary of arrays with the same names, among them "features". Of the first to the last block, an
array has the same type and the same shape but for the number of rows.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from synthcxr.data.images import Float32
from synthcxr.errors import DataError
from synthcxr.evaluation.features.engine import Outputs
from synthcxr.storage import atomic, numpy_files

FEATURES = "features"


def join_blocks(blocks: Iterable[Outputs], n: int) -> Outputs:
    """Join the blocks to arrays of `n` rows, without the second copy that a concatenation needs.

    Raises DataError if there are no rows, ValueError if there is another number of them than `n`.
    """
    arrays: Outputs = {}
    start = 0
    for block in _require_rows(blocks, n):
        stop = start + len(block[FEATURES])
        for name, rows in block.items():
            if name not in arrays:
                arrays[name] = np.empty((n, *rows.shape[1:]), rows.dtype)
            arrays[name][start:stop] = rows
        start = stop
    return arrays


def write_blocks(path: Path, blocks: Iterable[Outputs], n: int) -> None:
    """Write the blocks as an .npz file of arrays of `n` rows, which `numpy_files.map_npz` can map.

    Of the features, which are by far the largest array, only one block is in memory at a time. Raises OSError if the
    file cannot be written, and, after the first block, if the disk is too small for all of them; other errors are
    those of `join_blocks`, and ValueError for blocks that differ in type or shape.
    """
    others: defaultdict[str, list[Float32]] = defaultdict(list)

    def take_features() -> Iterator[Float32]:
        for number, block in enumerate(_require_rows(blocks, n)):
            if not number:
                _require_space(path, n * block[FEATURES][0].nbytes)
            for name in block.keys() - {FEATURES}:
                others[name].append(block[name])
            yield block[FEATURES]

    with atomic.open_file(path, concurrent=True) as file, numpy_files.NpzWriter(file) as writer:
        writer.add(FEATURES, n, take_features())
        for name, parts in sorted(others.items()):
            writer.add(name, n, parts)


def _require_space(path: Path, n_bytes: int) -> None:
    if shutil.disk_usage(path.parent).free < n_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _require_rows(blocks: Iterable[Outputs], n: int) -> Iterator[Outputs]:
    """Yield the blocks; DataError if there are none, ValueError if they have another number of rows than `n`."""
    n_rows = 0
    for block in blocks:
        n_rows += len(block[FEATURES])
        yield block
    if not n_rows:
        raise DataError("there are no images to compute features of")
    if n_rows != n:
        raise ValueError(f"expected {n} images, got {n_rows}")
