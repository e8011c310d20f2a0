"""Which films each step uses: shuffled passes that depend on the seed and on `nimg` only."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthcxr.data import images, random_streams

_SHUFFLE_STREAM = 1 << 63
"""Offset that separates these streams from those of the latents of the same seed."""

ReadFilms = Callable[[int], tuple[NDArray[np.uint8], NDArray[np.int64]]]
"""Maps a resolution to (images uint8 [M, R, R], which may be memory-mapped; the rows of it to train on)."""


@lru_cache(maxsize=4)
def _shuffle(seed: int, n: int, epoch: int) -> NDArray[np.int64]:
    return random_streams.open_stream(seed, _SHUFFLE_STREAM + epoch).permutation(n)


def select_positions(seed: int, n: int, nimg: int, batch: int) -> NDArray[np.int64]:
    """Return the `batch` positions in 0 .. n - 1 at `nimg`: each film once per pass, each pass in a new order."""
    indices = np.arange(nimg, nimg + batch)
    return np.array([_shuffle(seed, n, int(index // n))[index % n] for index in indices], dtype=np.int64)


def load_real_batch(read_films: ReadFilms, *, seed: int, resolution: int, nimg: int, batch: int) -> Tensor:
    """Load real images float32 [batch, 1, R, R] in [-1, 1]; the share of a later rank starts at a later `nimg`."""
    pixels, rows = read_films(resolution)
    selected = rows[select_positions(seed, len(rows), nimg, batch)]
    return torch.from_numpy(images.to_float(np.stack([pixels[row] for row in selected])))
