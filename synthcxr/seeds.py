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


def uniforms(seed: int, start: int, n: int) -> NDArray[np.float64]:
    """`n` uniform numbers in [0, 1) for candidates from `start` on, of a stream that shares nothing with the latents'.

    They belong to (seed, start): who wants a candidate's number again asks for the same stretch.
    """
    key = np.array([seed, start], dtype=np.uint64)
    beside = np.array([0, 0, 0, 1], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=beside)).random(n)
