"""Agreement beyond chance: Cohen's kappa of two, plain or weighted, and Fleiss' of several."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcxr.reader_study import intervals
from synthcxr.reader_study.intervals import Estimate, Float64


def cohen(first: ArrayLike, second: ArrayLike, *, k: int, quadratic: bool = False) -> Estimate:
    """Kappa of two ratings 0 .. k - 1 of the same cases, with its interval over cases; None where all are alike.

    Source: Cohen, Educ. Psychol. Meas. 20 (1960), and Psychol. Bull. 70 (1968) for quadratic weights.
    """
    a, b = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    steps = np.arange(k)[:, None] - np.arange(k)[None]
    cost = (steps**2 if quadratic else steps != 0).astype(np.float64)
    cells = np.eye(k * k)[a * k + b] if len(a) else np.zeros((0, k * k))  # [n, k * k]

    def statistic(weights: Float64) -> Float64:
        table = (weights @ cells).reshape(-1, k, k)
        n = table.sum(axis=(1, 2))
        expected = table.sum(axis=2)[:, :, None] * table.sum(axis=1)[:, None, :]
        return _one_less(n * (table * cost).sum(axis=(1, 2)), (expected * cost).sum(axis=(1, 2)))

    return _estimate(statistic, len(a))


def fleiss(ratings: NDArray[np.int64], *, k: int) -> Estimate:
    """Kappa of readers [R, C] who all rated the same cases 0 .. k - 1, with its interval over cases.

    Source: Fleiss, Psychol. Bull. 76 (1971).
    """
    n_readers, n = ratings.shape
    counts = np.stack([(ratings == level).sum(axis=0) for level in range(k)], axis=1).astype(np.float64)  # [C, k]
    agreed = ((counts**2).sum(axis=1) - n_readers) / max(n_readers * (n_readers - 1), 1)

    def statistic(weights: Float64) -> Float64:
        total = weights.sum(axis=1)
        shares = weights @ counts / (n_readers * total)[:, None]
        return _one_less(1 - weights @ agreed / total, 1 - (shares**2).sum(axis=1))

    return _estimate(statistic, n if n_readers > 1 else 0)


def _one_less(above: Float64, below: Float64) -> Float64:
    out = np.full(len(above), np.nan)
    np.divide(above, below, out=out, where=below > 1e-12)
    return np.asarray(1 - out)


def _estimate(statistic: Callable[[Float64], Float64], n: int) -> Estimate:
    value = float(statistic(np.ones((1, n)))[0]) if n else math.nan
    if math.isnan(value):
        return Estimate(None, None, None, n)
    low, high = intervals.over_cases(statistic, np.eye(n), np.random.default_rng(0)) if n > 1 else (None, None)
    return Estimate(value, low, high, n)
