"""Which films each step uses: shuffled passes that depend on the films, the seed and `nimg` only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthcxr.data import images, random_streams

_SHUFFLE_STREAM = 1 << 63
"""Offset that separates these streams from those of the latents of the same seed."""


@dataclasses.dataclass(frozen=True, eq=False)
class ShownFilms:
    """The n training films of one resolution.

    `pixels` uint8 [M, R, R] may be memory-mapped, and `rows` int64 [n] are the rows of it to train on. `shares` float64
    [n] are the shares of the films shown, None for equal ones. `conditions` float32 [n, C] are those of a conditional
    GAN.
    """

    pixels: NDArray[np.uint8]
    rows: NDArray[np.int64]
    shares: NDArray[np.float64] | None = None
    conditions: NDArray[np.float32] | None = None

    def select(self, seed: int, nimg: int, batch: int) -> NDArray[np.int64]:
        """Return the `batch` positions in 0 .. n - 1 at `nimg`.

        A pass shows n films, each once, in a new order. With `shares`, it shows each film n times its share, rounded up
        or down at random.
        """
        n = len(self.rows)
        indices = np.arange(nimg, nimg + batch)
        return np.array([_order_pass(self, seed, int(index // n))[index % n] for index in indices], dtype=np.int64)


ReadFilms = Callable[[int], ShownFilms]
"""Maps a resolution to its training films."""


@dataclasses.dataclass(frozen=True)
class RealBatch:
    """Films as images float32 [n, 1, R, R] in [-1, 1], and for a conditional GAN their conditions [n, C]."""

    images: Tensor
    conditions: Tensor | None

    def to(self, device: torch.device) -> RealBatch:
        """Move the batch to a device."""
        return RealBatch(self.images.to(device), None if self.conditions is None else self.conditions.to(device))


def load_real_batch(read_films: ReadFilms, *, seed: int, resolution: int, nimg: int, batch: int) -> RealBatch:
    """Load the films at `nimg`; the share of a later rank starts at a later `nimg`."""
    films = read_films(resolution)
    selected = films.select(seed, nimg, batch)
    pixels = torch.from_numpy(images.to_float(np.stack([films.pixels[row] for row in films.rows[selected]])))
    return RealBatch(pixels, None if films.conditions is None else torch.from_numpy(films.conditions[selected]))


@lru_cache(maxsize=4)
def _order_pass(films: ShownFilms, seed: int, epoch: int) -> NDArray[np.int64]:
    """The positions of one pass, in order. Systematic sampling keeps the number of times of each film near its mean."""
    rng, n = random_streams.open_stream(seed, _SHUFFLE_STREAM + epoch), len(films.rows)
    order = rng.permutation(n)
    if films.shares is None:
        return order
    cumulative = np.cumsum(films.shares[order])
    points = (np.arange(n) + rng.random()) / n * cumulative[-1]
    return rng.permutation(order[np.minimum(np.searchsorted(cumulative, points, side="right"), n - 1)])
