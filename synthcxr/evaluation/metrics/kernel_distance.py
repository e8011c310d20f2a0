"""Kernel distance between feature sets: the unbiased squared maximum mean discrepancy with a cubic kernel.

Binkowski et al., arXiv 1801.01401; with Inception features it is called KID. Unlike a Fréchet distance, it does not
depend on the number of samples; near 0 it can be negative. It is averaged over subsets, whose standard deviation shows
how stable it is.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcxr.errors import DataError
from synthcxr.storage.progress import track

Float64 = NDArray[np.float64]

N_SUBSETS = 100
MAX_SUBSET_SIZE = 1000


@dataclasses.dataclass(frozen=True)
class KernelDistance:
    """Mean and standard deviation over `n_subsets` subsets of `subset` images and `subset` test films each.

    The floor is the same distance between training films and test films, with subsets of the same size.
    """

    value: float
    std: float
    floor: float
    floor_std: float
    n_subsets: int
    subset: int


def kernel_distance(*, real: ArrayLike, synthetic: ArrayLike) -> float:
    """The unbiased squared MMD of features [n, d] and [m, d] with kernel (x . y / d + 1)^3, in float64."""
    a, b = np.asarray(real, dtype=np.float64), np.asarray(synthetic, dtype=np.float64)
    if min(len(a), len(b)) < 2 or a.shape[1:] != b.shape[1:]:
        raise DataError(f"kernel distance: expected rows of one width, got {list(a.shape)} and {list(b.shape)}")
    between = _kernel(a, b).mean()
    return float(_mean_within(a) + _mean_within(b) - 2 * between)


def kernel_distance_by_subsets(
    *, train: ArrayLike, test: ArrayLike, synthetic: ArrayLike, rng: np.random.Generator, n_subsets: int = N_SUBSETS
) -> KernelDistance:
    """Compare images [n, d] and training films [m, d] with test films, in random subsets.

    A subset has half as many rows as the smallest set, at most MAX_SUBSET_SIZE.
    """
    feature_sets = [np.asarray(rows) for rows in (train, test, synthetic)]
    smallest = min(len(rows) for rows in feature_sets)
    size = min(MAX_SUBSET_SIZE, smallest // 2)
    if size < 2:
        raise DataError(f"kernel distance: {smallest} rows are too few for subsets; at least 4 are necessary")
    draws = np.empty((n_subsets, 2))
    for row in track(draws, "kernel distance", unit="subsets"):
        train_rows, test_rows, synthetic_rows = (
            rows[rng.choice(len(rows), size=size, replace=False)] for rows in feature_sets
        )
        row[:] = (
            kernel_distance(real=test_rows, synthetic=synthetic_rows),
            kernel_distance(real=test_rows, synthetic=train_rows),
        )
    mean, std = draws.mean(axis=0), draws.std(axis=0)
    return KernelDistance(
        value=float(mean[0]),
        std=float(std[0]),
        floor=float(mean[1]),
        floor_std=float(std[1]),
        n_subsets=n_subsets,
        subset=size,
    )


def _kernel(a: Float64, b: Float64) -> Float64:
    return np.asarray((a @ b.T / a.shape[1] + 1) ** 3)


def _mean_within(rows: Float64) -> float:
    """The mean kernel value over pairs of two different rows."""
    kernel, n = _kernel(rows, rows), len(rows)
    return float((kernel.sum() - np.trace(kernel)) / (n * (n - 1)))
