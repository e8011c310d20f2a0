"""Estimates with 95 % confidence intervals: exact for a proportion, bootstrapped over readers and cases."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import binomtest
from scipy.stats import t as student_t

Float64 = NDArray[np.float64]

CONFIDENCE_LEVEL = 0.95
N_DRAWS = 1000
Z = 1.959963984540054
Interval = tuple[float | None, float | None]
Statistic = Callable[[Float64, Float64], Float64]


@dataclasses.dataclass(frozen=True)
class StudyEstimate:
    """A value with its 95 % confidence interval and the number `n` that it is based on.

    None means that there is too little data. `p` is the p-value of the exact two-sided test against one half, if that
    test applies. The field names are keys of analysis.json.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    p: float | None = None


def estimate_proportion(k: int, n: int) -> StudyEstimate:
    """The proportion k / n with the exact interval of Clopper and Pearson, and the exact test against one half."""
    if n == 0:
        return StudyEstimate(None, None, None, 0)
    test = binomtest(k, n, 0.5)
    interval = test.proportion_ci(CONFIDENCE_LEVEL, method="exact")
    return StudyEstimate(k / n, float(interval.low), float(interval.high), n, float(test.pvalue))


def estimate_over_readers_and_cases(
    statistic: Statistic, *, n_readers: int, clusters: Float64, n: int, rng: np.random.Generator, n_draws: int = N_DRAWS
) -> StudyEstimate | None:
    """Estimate a statistic for the populations of readers and of cases, by resampling both.

    `statistic` takes weights of readers [B, R] and weights of cases [B, C] and returns values in (0, 1), [B].
    `clusters` [K, C] is 1 for the cases that are resampled together. `n` is the number of readings.

    The interval is symmetric around the value on the logit scale. It is widened for a small number of readers: their
    variance component is multiplied by R / (R - 1), and the normal quantile is replaced by the quantile of Student's t
    with the degrees of freedom of both components (Satterthwaite).

    Returns None for one reader, one cluster, a value of 0 or 1, or a value that no resampling changes.
    """
    n_clusters = len(clusters)
    value = float(statistic(np.ones((1, n_readers)), np.ones((1, clusters.shape[1])))[0])
    if n_readers < 2 or n_clusters < 2 or not 0 < value < 1:
        return None
    reader_weights = _resample(n_readers, n_draws, rng)
    case_weights = _resample(n_clusters, n_draws, rng) @ clusters
    reader_variance = _variance(statistic(reader_weights, np.ones_like(case_weights))) * n_readers / (n_readers - 1)
    case_variance = _variance(statistic(np.ones_like(reader_weights), case_weights)) * n_clusters / (n_clusters - 1)
    variance = _variance(statistic(reader_weights, case_weights)) + reader_variance / n_readers
    components = reader_variance**2 / (n_readers - 1) + case_variance**2 / (n_clusters - 1)
    if variance == 0 or components == 0:
        return None
    degrees_of_freedom = (reader_variance + case_variance) ** 2 / components
    quantile = float(student_t.ppf((1 + CONFIDENCE_LEVEL) / 2, degrees_of_freedom))
    half_width = quantile * math.sqrt(variance) / (value * (1 - value))
    return StudyEstimate(value, float(expit(logit(value) - half_width)), float(expit(logit(value) + half_width)), n)


def build_clusters(cluster_of_case: Sequence[object]) -> Float64:
    """Float64 [K, C]: 1 where case c belongs to cluster k, which is a patient or a single synthetic image."""
    clusters, codes = np.unique(np.asarray(cluster_of_case, dtype=str), return_inverse=True)
    return np.asarray(np.arange(len(clusters))[:, None] == codes[None], dtype=np.float64)


def bootstrap_over_cases(
    statistic: Callable[[Float64], Float64], clusters: Float64, rng: np.random.Generator
) -> Interval:
    """The percentile interval of a statistic of case weights [B, C], with clusters resampled.

    Returns (None, None) if the statistic is undefined in more than half of the draws.
    """
    draws = statistic(_resample(len(clusters), N_DRAWS, rng) @ clusters)
    defined = draws[~np.isnan(draws)]
    if len(defined) < N_DRAWS // 2:
        return None, None
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)


def _resample(n: int, n_draws: int, rng: np.random.Generator) -> Float64:
    return rng.multinomial(n, np.full(n, 1 / n), size=n_draws).astype(np.float64)


def _variance(draws: Float64) -> float:
    return float(np.nanvar(draws))
