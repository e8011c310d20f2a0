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
_FLAT = 1e-3
_BLOCK = 2048
"""Rows of a block: a product of two blocks has 16 MB."""


def find_nearest_correlations(squares: Float32, groups: NDArray[np.object_] | None = None) -> Float64:
    """The largest correlation [n] of each image [n, side, side] with another image, of another group where given.

    NaN for an image that has no other to compare with. Brightness and contrast do not matter; a uniform image
    correlates with nothing (0), except that two uniform images are the same (1). `squares` may be larger than the
    memory: two blocks are standardised at a time, which takes a tenth of the time of their product.
    """
    n = len(squares)
    rows = squares.reshape(n, -1)
    codes = np.arange(n) if groups is None else np.unique(groups.astype(str), return_inverse=True)[1]
    nearest = np.full(n, -np.inf, dtype=np.float32)
    is_flat = np.empty(n, dtype=np.bool_)
    for first in range(0, n, _BLOCK):
        one = slice(first, first + _BLOCK)
        one_rows, is_flat[one] = _standardise(rows[one])
        for second in range(first, n, _BLOCK):
            other = slice(second, second + _BLOCK)
            other_rows = one_rows if first == second else _standardise(rows[other])[0]
            correlation = one_rows @ other_rows.T
            if groups is not None or first == second:
                correlation[codes[one, None] == codes[None, other]] = -np.inf
            np.maximum(nearest[one], correlation.max(axis=1), out=nearest[one])
            np.maximum(nearest[other], correlation.max(axis=0), out=nearest[other])
    if len(np.unique(codes[is_flat])) > 1:
        nearest[is_flat] = 1
    return np.where(np.isfinite(nearest), np.clip(nearest.astype(np.float64), -1, 1), np.nan)


def _standardise(rows: Float32) -> tuple[Float32, NDArray[np.bool_]]:
    """Rows [n, d] with mean 0 and length 1, uniform ones as 0; and which are uniform, bool [n]."""
    if not np.isfinite(rows).all():
        raise DataError("some pixels are not finite; generate the images again")
    centred = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.sqrt(np.einsum("ij,ij->i", centred, centred, dtype=np.float64))
    is_flat = lengths < _FLAT
    centred /= np.where(is_flat, np.inf, lengths).astype(np.float32)[:, None]
    return centred, is_flat


def is_near_duplicate(nearest_correlations: Float64) -> NDArray[np.bool_]:
    """Which images have a near-duplicate, bool [n]."""
    return np.asarray(nearest_correlations >= NEAR_DUPLICATE)
