"""The per-image random stream: candidate i of seed s always draws the same numbers, wherever it is drawn.

Philox is counter-based (Salmon et al., SC 2011): the key (seed, index) names a stream of its own, so batch size,
engine, worker count and resumption cannot change what a candidate is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_SEED = 2**64 - 1


def stream(seed: int, index: int) -> np.random.Generator:
    """The generator of candidate `index` of `seed`, both in 0 .. 2**64 - 1."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, index], dtype=np.uint64)))


def latents(seed: int, start: int, n: int, size: int) -> NDArray[np.float32]:
    """Standard normal latents float32 [n, size] of the candidates start .. start + n - 1."""
    rows = np.empty((n, size), dtype=np.float32)
    for row in range(n):
        stream(seed, start + row).standard_normal(out=rows[row], dtype=np.float32)
    return rows


def walks(seed: int, start: int, n: int, n_moves: int, size: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """For each candidate from `start` on, normal numbers float32 [n, n_moves, size] and uniforms [n, n_moves + 1].

    They are drawn from the candidate's stream after its latent.
    """
    noise = np.empty((n, n_moves, size), dtype=np.float32)
    chances = np.empty((n, n_moves + 1))
    for row in range(n):
        own = stream(seed, start + row)
        own.standard_normal(size, dtype=np.float32)
        own.standard_normal(out=noise[row], dtype=np.float32)
        own.random(out=chances[row])
    return noise, chances
