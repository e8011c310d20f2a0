"""Kernel distance between feature sets: the squared maximum mean discrepancy, unbiased, with a cubic kernel.

Binkowski et al., arXiv 1801.01401 (with Inception features: KID). Unlike a Frechet distance it does not shrink as
samples grow; around 0 it may be negative. It is taken over subsets, whose standard deviation says how stable it is.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcxr.errors import DataError

Float64 = NDArray[np.float64]

N_SUBSETS = 100
LARGEST_SUBSET = 1000


@dataclasses.dataclass(frozen=True)
class KernelDistance:
    """Mean and standard deviation over `n_subsets` of `subset` images and films each, of images and of the floor.

    The floor is the same between training films and test films, at the same subset size.
    """

    value: float
    std: float
    floor: float
    floor_std: float
    n_subsets: int
    subset: int


def kernel_distance(*, real: ArrayLike, synthetic: ArrayLike) -> float:
    """The unbiased squared MMD of features [n, d] and [m, d], kernel (x . y / d + 1)^3, in float64."""
    a, b = np.asarray(real, dtype=np.float64), np.asarray(synthetic, dtype=np.float64)
    if min(len(a), len(b)) < 2 or a.shape[1:] != b.shape[1:]:
        raise DataError(f"kernel distance: expected rows of one width, found {list(a.shape)} and {list(b.shape)}")
    between = _kernel(a, b).mean()
    return float(_within(a) + _within(b) - 2 * between)


def by_subsets(
    *, train: ArrayLike, test: ArrayLike, synthetic: ArrayLike, rng: np.random.Generator, n_subsets: int = N_SUBSETS
) -> KernelDistance:
    """Images [n, d] and training films [m, d], each against test films, by subsets of at most half of the fewest."""
    sets = [np.asarray(rows, dtype=np.float64) for rows in (train, test, synthetic)]
    size = min(LARGEST_SUBSET, min(len(rows) for rows in sets) // 2)
    if size < 2:
        raise DataError(f"kernel distance: {min(len(rows) for rows in sets)} rows are too few for subsets")
    draws = np.empty((n_subsets, 2))
    for row in draws:
        films, held_out, made = (rows[rng.choice(len(rows), size=size, replace=False)] for rows in sets)
        row[:] = (
            kernel_distance(real=held_out, synthetic=made),
            kernel_distance(real=held_out, synthetic=films),
        )
    mean, std = draws.mean(axis=0), draws.std(axis=0)
    return KernelDistance(float(mean[0]), float(std[0]), float(mean[1]), float(std[1]), n_subsets, size)


def _kernel(a: Float64, b: Float64) -> Float64:
    return np.asarray((a @ b.T / a.shape[1] + 1) ** 3)


def _within(rows: Float64) -> float:
    """The mean kernel of two different rows."""
    held, n = _kernel(rows, rows), len(rows)
    return float((held.sum() - np.trace(held)) / (n * (n - 1)))
