"""Named arrays of n rows that come in blocks: joined in memory, or written to a file from which they can be mapped."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from synthcxr.data.images import Float32
from synthcxr.errors import DataError
from synthcxr.evaluation.features.engine import Outputs
from synthcxr.storage import atomic

FEATURES = "features"


def join_blocks(blocks: Iterable[Outputs], n: int) -> Outputs:
    """Join the blocks to arrays of `n` rows, without the second copy that a concatenation needs."""
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
    """Write the blocks as an uncompressed .npz file of arrays of `n` rows; OSError where it cannot be written.

    Of the features, which are by far the largest array, only one block is in memory at a time.
    """
    others: defaultdict[str, list[Float32]] = defaultdict(list)
    with atomic.open_file(path, concurrent=True) as file, zipfile.ZipFile(file, "w") as archive:
        with archive.open(f"{FEATURES}.npy", "w", force_zip64=True) as member:
            for number, block in enumerate(_require_rows(blocks, n)):
                features = np.ascontiguousarray(block[FEATURES])
                if not number:
                    header = np.lib.format.header_data_from_array_1_0(features)
                    np.lib.format.write_array_header_1_0(member, header | {"shape": (n, *features.shape[1:])})
                member.write(features.data)
                for name in block.keys() - {FEATURES}:
                    others[name].append(block[name])
        for name, parts in sorted(others.items()):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.concatenate(parts), allow_pickle=False)


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
