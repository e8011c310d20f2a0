"""Named arrays of n rows that come in blocks: joined in memory, or written to a file from which they can be mapped.

Each block is a dictionary of arrays with the same names, among them "features". Of the first to the last block, an
array has the same type and the same shape but for the number of rows.
"""

from __future__ import annotations

import errno
import os
import shutil
import struct
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from synthcxr.data.images import Float32
from synthcxr.errors import DataError
from synthcxr.evaluation.features.engine import Outputs
from synthcxr.storage import atomic

FEATURES = "features"
_ALIGNMENT = 64
_HEADER_BYTES, _ZIP64_BYTES, _FIELD_BYTES = 30, 20, 4
"""Of a member of a zip file: its header without the name, the extra field for large files, the header of a field."""
_PADDING_ID = 0xD935
"""The extra field that other tools use to align the content of a member."""


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
    """Write the blocks as an uncompressed .npz file of arrays of `n` rows, in which each array begins at a multiple of
    64 bytes.

    Of the features, which are by far the largest array, only one block is in memory at a time. Raises OSError if the
    file cannot be written, and, after the first block, if the disk is too small for all of them; other errors are
    those of `join_blocks`.
    """
    others: defaultdict[str, list[Float32]] = defaultdict(list)
    with atomic.open_file(path, concurrent=True) as file, zipfile.ZipFile(file, "w") as archive:
        with _open_member(archive, file, FEATURES) as member:
            for number, block in enumerate(_require_rows(blocks, n)):
                features = np.ascontiguousarray(block[FEATURES])
                if not number:
                    _require_space(path, n * features[0].nbytes)
                    header = np.lib.format.header_data_from_array_1_0(features)
                    np.lib.format.write_array_header_1_0(member, header | {"shape": (n, *features.shape[1:])})
                member.write(features.data)
                for name in block.keys() - {FEATURES}:
                    others[name].append(block[name])
        for name, parts in sorted(others.items()):
            with _open_member(archive, file, name) as member:
                np.lib.format.write_array(member, np.concatenate(parts), allow_pickle=False)


def _open_member(archive: zipfile.ZipFile, file: BinaryIO, name: str) -> IO[bytes]:
    """Open a member of an archive for writing, with a padding before its content that aligns the array.

    numpy copies an array that is not aligned in every product.
    """
    info = zipfile.ZipInfo(f"{name}.npy")
    start = file.tell() + _HEADER_BYTES + len(info.filename) + _FIELD_BYTES + _ZIP64_BYTES
    padding = bytes(-start % _ALIGNMENT)
    info.extra = struct.pack("<HH", _PADDING_ID, len(padding)) + padding
    return archive.open(info, "w", force_zip64=True)


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
