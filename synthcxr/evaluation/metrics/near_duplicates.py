"""Near-duplicates within a set: the correlation of each image, at 32 px, with the image most like it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthcxr.errors import DataError

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

NEAR_DUPLICATE = 0.98
"""From this correlation on, two images are near-duplicates. Of 1,282 real films none reaches it with another patient's:
their largest correlation is 0.975."""
_CHUNK = 8_000_000


def find_nearest_correlations(squares: Float32, groups: NDArray[np.object_] | None = None) -> Float64:
    """The largest correlation [n] of each image [n, side, side] with another image, of another group where given.

    NaN for an image that has no other to compare with. Brightness and contrast do not matter; a uniform image
    correlates with nothing (0), except that two uniform images are the same (1).
    """
    n = len(squares)
    rows = squares.reshape(n, -1).astype(np.float32, copy=False)
    if not np.isfinite(rows).all():
        raise DataError("some pixels are not finite; generate the images again")
    rows = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    is_flat = lengths < 1e-3
    rows /= np.where(is_flat, 1, lengths).astype(np.float32)[:, None]
    codes = np.arange(n) if groups is None else np.unique(groups.astype(str), return_inverse=True)[1]
    nearest, step = np.full(n, -np.inf), max(1, _CHUNK // max(1, n))
    for start in range(0, n, step):
        part = slice(start, start + step)
        correlation = (rows[part] @ rows.T).astype(np.float64)
        correlation[is_flat[part]] = is_flat
        correlation[codes[part, None] == codes[None]] = -np.inf
        nearest[part] = correlation.max(axis=1)
    return np.where(np.isfinite(nearest), np.clip(nearest, -1, 1), np.nan)


def is_near_duplicate(nearest_correlations: Float64) -> NDArray[np.bool_]:
    """Which images have a near-duplicate, bool [n]."""
    return np.asarray(nearest_correlations >= NEAR_DUPLICATE)
