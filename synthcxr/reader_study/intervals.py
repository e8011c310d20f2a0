"""A value with its 95 % interval and the number that it rests on; exact ones for plain shares."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import binomtest
from scipy.stats import t as student

Float64 = NDArray[np.float64]

LEVEL = 0.95
N_DRAWS = 1000
Z = 1.959963984540054
Interval = tuple[float | None, float | None]
Statistic = Callable[[Float64, Float64], Float64]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """None stands for what cannot be said of so few. `p`, where it is, tests one half, exact and two-sided."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    p: float | None = None


def share(k: int, n: int) -> Estimate:
    """k of n: Clopper and Pearson's exact interval, and the exact test against one half."""
    if n == 0:
        return Estimate(None, None, None, 0)
    test = binomtest(k, n, 0.5)
    interval = test.proportion_ci(LEVEL, method="exact")
    return Estimate(k / n, float(interval.low), float(interval.high), n, float(test.pvalue))


def pooled(
    statistic: Statistic, *, n_readers: int, clusters: Float64, n: int, rng: np.random.Generator, n_draws: int = N_DRAWS
) -> Estimate | None:
    """A statistic over readers and cases, both resampled, for the readers and cases that could have been taken.

    `statistic` takes weights of readers [B, R] and of cases [B, C] and gives values in (0, 1), [B]; `clusters`, [K, C],
    says which cases are resampled together and is 1 there. The spread of the draws is laid around the value on the
    logit scale, widened for few readers: their part of the variance by R / (R - 1), the normal quantile by Student's
    with the degrees of freedom of both parts (Satterthwaite). `n` counts readings.
    None for one reader or one cluster, or a value of 0 or 1.
    """
    n_clusters = len(clusters)
    value = float(statistic(np.ones((1, n_readers)), np.ones((1, clusters.shape[1])))[0])
    if n_readers < 2 or n_clusters < 2 or not 0 < value < 1:
        return None
    readers = _resampled(n_readers, n_draws, rng)
    cases = _resampled(n_clusters, n_draws, rng) @ clusters
    of_readers = _variance(statistic(readers, np.ones_like(cases))) * n_readers / (n_readers - 1)
    of_cases = _variance(statistic(np.ones_like(readers), cases)) * n_clusters / (n_clusters - 1)
    both = _variance(statistic(readers, cases)) + of_readers / n_readers
    if both == 0:
        return None
    freedom = (of_readers + of_cases) ** 2 / (of_readers**2 / (n_readers - 1) + of_cases**2 / (n_clusters - 1))
    reach = float(student.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(both) / (value * (1 - value))
    return Estimate(value, float(expit(logit(value) - reach)), float(expit(logit(value) + reach)), n)


def clusters_of(names: Sequence[object]) -> Float64:
    """[K, C]: 1 where case c is of the k-th patient."""
    held, codes = np.unique(np.asarray(names, dtype=str), return_inverse=True)
    return np.asarray(np.arange(len(held))[:, None] == codes[None], dtype=np.float64)


def over_cases(statistic: Callable[[Float64], Float64], clusters: Float64, rng: np.random.Generator) -> Interval:
    """The central 95 % of a statistic of weights of cases [B, C], resampled by cluster; None if undefined."""
    draws = statistic(_resampled(len(clusters), N_DRAWS, rng) @ clusters)
    held = draws[~np.isnan(draws)]
    if len(held) < N_DRAWS // 2:
        return None, None
    low, high = np.percentile(held, [2.5, 97.5])
    return float(low), float(high)


def _resampled(n: int, n_draws: int, rng: np.random.Generator) -> Float64:
    return rng.multinomial(n, np.full(n, 1 / n), size=n_draws).astype(np.float64)


def _variance(draws: Float64) -> float:
    return float(np.nanvar(draws))
