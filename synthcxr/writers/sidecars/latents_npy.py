"""latents.npy: the latent of each image, float32 [n, Z], in the order of metadata.csv."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import random_streams
from synthcxr.storage import numpy_files
from synthcxr.storage.numpy_files import ArrayType
from synthcxr.writers.journal import JournalLine, decode_latents

LATENTS_FILE = "latents.npy"
_ADVICE = "generate the dataset again"
_ROWS_PER_WRITE = 4096


@contextlib.contextmanager
def open_latents(folder: Path, *, seed: int, size: int) -> Iterator[Callable[[JournalLine], None]]:
    """Open latents.npy: the block gets a function that adds the latents, of `size` values, of a journal line."""
    n = 0
    with (folder / LATENTS_FILE).open("wb") as file:
        _write_header(file, n, size)

        def add(line: JournalLine) -> None:
            nonlocal n
            for rows in _generate_rows(line, seed, size):
                file.write(rows.astype("<f4").tobytes())
                n += len(rows)

        yield add
        file.seek(0)
        _write_header(file, n, size)


def read_latents(dataset: Path) -> NDArray[np.float32]:
    """Read the latents float32 [n, Z] of a finished dataset."""
    expected = ArrayType("f", (None, None))
    latents: NDArray[np.float32] = numpy_files.read_npy(dataset / LATENTS_FILE, expected, advice=_ADVICE)
    return latents


def _write_header(file: BinaryIO, n: int, size: int) -> None:
    """Write the .npy header. Its length is constant: numpy pads it for growth along the first axis."""
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (n, size)})


def _generate_rows(line: JournalLine, seed: int, size: int) -> Iterator[NDArray[np.float32]]:
    """Yield the latents stored in a line, or compute those of its candidates, at most a few thousand at a time."""
    if line.latents:
        yield decode_latents(line.latents, size)
        return
    candidates = array("q", (record.index for record in line.records))
    for start in range(0, len(candidates), _ROWS_PER_WRITE):
        indices = candidates[start : start + _ROWS_PER_WRITE]
        yield np.concatenate([random_streams.draw_latents(seed, index, 1, size) for index in indices])
