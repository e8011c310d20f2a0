"""latents.npy: the latent of each image, float32 [n, Z], in the order of metadata.csv."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import random_streams
from synthcxr.storage import numpy_files
from synthcxr.storage.numpy_files import ArrayType
from synthcxr.writers.journal import Journal, JournalLine, decode_latents

LATENTS_FILE = "latents.npy"
_ADVICE = "generate the dataset again"
_ROWS_PER_WRITE = 4096


def write_latents(folder: Path, journal: Journal, *, seed: int, size: int) -> None:
    """Write latents of `size` values for the images of the journal, at most a few thousand rows at a time."""
    n_images, _ = journal.count_images_and_draws()
    header = {"descr": "<f4", "fortran_order": False, "shape": (n_images, size)}
    with (folder / LATENTS_FILE).open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for rows in _generate_rows(journal.lines(), seed, size):
            file.write(rows.astype("<f4").tobytes())


def read_latents(dataset: Path) -> NDArray[np.float32]:
    """Read the latents float32 [n, Z] of a finished dataset."""
    expected = ArrayType("f", (None, None))
    latents: NDArray[np.float32] = numpy_files.read_npy(dataset / LATENTS_FILE, expected, advice=_ADVICE)
    return latents


def _generate_rows(lines: Iterable[JournalLine], seed: int, size: int) -> Iterator[NDArray[np.float32]]:
    """Yield the latents stored in a line, or compute those of its candidates from the seed."""
    for line in lines:
        if line.latents:
            yield decode_latents(line.latents, size)
            continue
        candidates = array("q", (record.index for record in line.records))
        for start in range(0, len(candidates), _ROWS_PER_WRITE):
            indices = candidates[start : start + _ROWS_PER_WRITE]
            yield np.concatenate([random_streams.draw_latents(seed, index, 1, size) for index in indices])
