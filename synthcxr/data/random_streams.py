"""A random stream for each candidate image: candidate i of seed s has the same random numbers wherever it is drawn.

Philox is a counter-based generator (Salmon et al., SC 2011): the key (seed, index) names a stream of its own. Batch
size, engine, number of workers and resumption therefore cannot change a candidate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_SEED = 2**64 - 1
_CONDITION_COUNTER = 2**192
"""The counter of Philox runs from 0 to 2**256 - 1; latents and walks use its first numbers."""


def open_stream(seed: int, index: int) -> np.random.Generator:
    """Return the generator of candidate `index` of `seed`, both from 0 to 2**64 - 1."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, index], dtype=np.uint64)))


def draw_condition_uniform(seed: int, index: int) -> float:
    """Draw the number in [0, 1) that selects the condition of candidate `index` of `seed`.

    It comes from a part of the candidate's stream that its latent and its random walk cannot reach.
    """
    key = np.array([seed, index], dtype=np.uint64)
    return float(np.random.Generator(np.random.Philox(key=key, counter=_CONDITION_COUNTER)).random())


def draw_latents(seed: int, start: int, n: int, size: int) -> NDArray[np.float32]:
    """Draw standard normal latents float32 [n, size] for the candidates start .. start + n - 1."""
    rows = np.empty((n, size), dtype=np.float32)
    for row in range(n):
        open_stream(seed, start + row).standard_normal(out=rows[row], dtype=np.float32)
    return rows


def draw_walk_noise(
    seed: int, start: int, n: int, n_moves: int, size: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Draw the noise of random walks for the candidates start .. start + n - 1.

    Returns normal numbers float32 [n, n_moves, size] and uniform numbers [n, n_moves + 1], which follow the latent in
    each candidate's stream.
    """
    normals = np.empty((n, n_moves, size), dtype=np.float32)
    uniforms = np.empty((n, n_moves + 1))
    for row in range(n):
        rng = open_stream(seed, start + row)
        rng.standard_normal(size, dtype=np.float32)  # the latent
        rng.standard_normal(out=normals[row], dtype=np.float32)
        rng.random(out=uniforms[row])
    return normals, uniforms
