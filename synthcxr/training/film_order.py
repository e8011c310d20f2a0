"""Which films each step sees: shuffled passes that depend on the seed and on `nimg` alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthcxr.data import images, random_streams

_SHUFFLE = 1 << 63  # apart from the latents' streams of the same seed

Films = Callable[[int], tuple[NDArray[np.uint8], NDArray[np.int64]]]
"""resolution -> (uint8 images [M, R, R], possibly memory-mapped; the rows of it that may be used)."""


@lru_cache(maxsize=4)
def _order(seed: int, n: int, epoch: int) -> NDArray[np.int64]:
    return random_streams.stream(seed, _SHUFFLE + epoch).permutation(n)


def positions(seed: int, n: int, nimg: int, batch: int) -> NDArray[np.int64]:
    """The `batch` positions in 0 .. n - 1 shown at `nimg`: every film once a pass, each pass in a new order."""
    at = np.arange(nimg, nimg + batch)
    return np.array([_order(seed, n, int(i // n))[i % n] for i in at], dtype=np.int64)


def reals(films: Films, *, seed: int, resolution: int, nimg: int, batch: int) -> Tensor:
    """Real images float32 [batch, 1, R, R] in [-1, 1]; a rank's share of a step begins at a later `nimg`."""
    pixels, rows = films(resolution)
    chosen = rows[positions(seed, len(rows), nimg, batch)]
    return torch.from_numpy(images.to_float(np.stack([pixels[row] for row in chosen])))
