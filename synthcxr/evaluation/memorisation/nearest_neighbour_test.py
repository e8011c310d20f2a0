"""Tests whether synthetic images are closer to training films than chance explains, with held-out films as the null.

The null is how close held-out films, of patients that are not in the training films, come to training films. An image
is flagged if it is closer than the null's 1st percentile. 1 % of the images that copy nothing are flagged.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.share_interval import wilson_interval
from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import bootstrap
from synthcxr.evaluation.metrics.bootstrap import Interval

Float64 = NDArray[np.float64]

FLAG_LEVEL = 0.01
_POWER, _N_SIMULATED, _N_DRAWS = 0.8, 60, 100


@dataclasses.dataclass(frozen=True)
class NearestNeighbourTest:
    """Distances of `n` images compared with those of `n_null` held-out films of `n_null_patients` patients.

    `threshold` is the null's 1st percentile, `share` the share of images below it, and `expected` that share without
    copying. `share_low` is the lower end of the interval; if it is above `expected`, there is copying. `n_below_null`
    counts the images that are closer than every film of the null. `median_ratio` is the images' median distance
    divided by the null's. `detectable` is the smallest share of copies that a set of this size shows with a power of
    0.8. Intervals are 95 %, over resampled images and patients of the null.
    """

    n: int
    n_null: int
    n_null_patients: int
    median_ratio: float
    median_ratio_interval: Interval
    threshold: float
    share: float
    share_interval: Interval
    share_low: float
    expected: float
    n_below_null: int
    detectable: float | None


@dataclasses.dataclass(frozen=True)
class FlaggedShare:
    """The share of images below the 1st percentile of a null of `n_null` films, with its 95 % interval."""

    share: float
    interval: Interval
    n_null: int


def estimate_flagged_share(
    *,
    synthetic: Float64,
    null: Float64,
    null_patients: NDArray[np.object_],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> FlaggedShare:
    """Only the share of `compare_distances`."""
    draws = np.empty(n_bootstrap)
    for index in range(n_bootstrap):
        threshold = weighted_quantile(null, FLAG_LEVEL, bootstrap.resample_patients(null_patients, rng))
        draws[index] = (rng.choice(synthetic, size=len(synthetic)) < threshold).mean()
    share = float((synthetic < weighted_quantile(null, FLAG_LEVEL)).mean())
    return FlaggedShare(share, _share_interval(share, draws, len(synthetic)), len(null))


def compare_distances(
    *,
    synthetic: Float64,
    null: Float64,
    null_patients: NDArray[np.object_],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> NearestNeighbourTest:
    """Compare distances [n] of images with distances [m] of held-out films, whose patients are `null_patients` [m]."""
    if min(len(synthetic), len(null)) < 1 or np.median(null) <= 0:
        raise DataError("held-out films duplicate training films; check the patient split")
    null_weights = [bootstrap.resample_patients(null_patients, rng) for _ in range(n_bootstrap)]
    draws = np.empty((n_bootstrap, 2))
    for row, weights in zip(draws, null_weights, strict=True):
        resampled = rng.choice(synthetic, size=len(synthetic))
        row[0] = (resampled < weighted_quantile(null, FLAG_LEVEL, weights)).mean()
        row[1] = np.median(resampled) / weighted_quantile(null, 0.5, weights)
    threshold = weighted_quantile(null, FLAG_LEVEL)
    share = float((synthetic < threshold).mean())
    low, high = _share_interval(share, draws[:, 0], len(synthetic))
    return NearestNeighbourTest(
        n=len(synthetic),
        n_null=len(null),
        n_null_patients=len(set(null_patients)),
        median_ratio=float(np.median(synthetic) / weighted_quantile(null, 0.5)),
        median_ratio_interval=bootstrap.percentile_interval(draws[:, 1]),
        threshold=threshold,
        share=share,
        share_interval=(low, high),
        share_low=low,
        expected=FLAG_LEVEL,
        n_below_null=int((synthetic < null.min()).sum()),
        detectable=find_detectable_share(n=len(synthetic), null=null, null_patients=null_patients, rng=rng),
    )


def _share_interval(share: float, draws: Float64, n: int) -> Interval:
    low, high = bootstrap.percentile_interval(draws)
    if share in (0.0, 1.0):  # resamples of the images do not differ
        wilson_low, wilson_high = wilson_interval(share * n, n)
        low, high = min(low, wilson_low), max(high, wilson_high)
    return low, high


def weighted_quantile(values: Float64, level: float, weights: Float64 | None = None) -> float:
    """The smallest value at which the cumulative (weighted) share of the values reaches `level`."""
    order = np.argsort(values, kind="stable")
    mass = np.ones(len(values)) if weights is None else weights[order]
    cumulative = np.cumsum(mass) / mass.sum()
    position = min(int(np.searchsorted(cumulative, level - 1e-12)), len(values) - 1)
    return float(values[order[position]])


def find_detectable_share(
    *, n: int, null: Float64, null_patients: NDArray[np.object_], rng: np.random.Generator
) -> float | None:
    """The smallest share of copies among `n` images whose interval is above FLAG_LEVEL in four of five simulated sets.

    The simulation assumes that every copy is below the threshold and that the other images are as distant as the
    null's films. Each simulated set has its own interval, over the same resamples of patients. None if no share is
    detectable.
    """
    thresholds = np.array(
        [weighted_quantile(null, FLAG_LEVEL, bootstrap.resample_patients(null_patients, rng)) for _ in range(_N_DRAWS)]
    )

    def simulate_power(n_copies: int) -> float:
        other_images = np.sort(rng.choice(null, size=(_N_SIMULATED, n - n_copies)), axis=1)
        n_flagged = np.array([np.searchsorted(row, thresholds, side="left") for row in other_images]) + n_copies
        shares = rng.binomial(n, n_flagged / n) / n
        return float((np.percentile(shares, 2.5, axis=1) > FLAG_LEVEL).mean())

    low, high = 0, n
    if simulate_power(high) < _POWER:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if simulate_power(middle) >= _POWER else (middle, high)
    return high / n
