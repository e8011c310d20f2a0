"""Whether synthetic images lie nearer to films than real ones do: distances against a null of held-out real films.

The null says how near a film of a patient who was never learnt from comes by chance. An image is flagged when it is
nearer than the null's 1st percentile; of images that copy nothing one in a hundred is flagged.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import bootstrap
from synthcxr.evaluation.metrics.bootstrap import Interval

Float64 = NDArray[np.float64]

LEVEL = 0.01
_POWER, _N_SIMULATED, _N_DRAWS = 0.8, 60, 100


@dataclasses.dataclass(frozen=True)
class Nearness:
    """Distances of `n` synthetic images against those of `n_null` held-out films of `n_null_patients` patients.

    `threshold` is the null's 1st percentile and `share` the images below it (`expected` of those that copy nothing);
    `share_low` is the lower end of its interval: above `expected` there is copying. `n_below_null` counts the images
    nearer than every film of the null. `median_ratio` is the median distance of images over that of the null.
    `detectable` is the smallest share of copies that a set of this size would show, at a power of 0.8. Intervals are
    95 %, over resampled images and patients of the null.
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


def compare(
    *,
    synthetic: Float64,
    null: Float64,
    null_patients: NDArray[np.object_],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> Nearness:
    """Compare distances [n] of images with those [m] of held-out films; `null_patients` [m] says whose these are."""
    if min(len(synthetic), len(null)) < 1 or np.median(null) <= 0:
        raise DataError("the held-out films lie on the films that were learnt from: the same films on two sides?")
    weights = [bootstrap.patient_weights(null_patients, rng) for _ in range(n_bootstrap)]
    draws = np.empty((n_bootstrap, 2))
    for row, weight in zip(draws, weights, strict=True):
        drawn = rng.choice(synthetic, size=len(synthetic))
        row[:] = (drawn < quantile(null, LEVEL, weight)).mean(), np.median(drawn) / quantile(null, 0.5, weight)
    share = float((synthetic < quantile(null, LEVEL)).mean())
    low, high = bootstrap.percentile(draws[:, 0])
    if share in (0.0, 1.0):  # no resample of equal images differs
        wide = bootstrap.wilson(share * len(synthetic), len(synthetic))
        low, high = min(low, wide[0]), max(high, wide[1])
    return Nearness(
        n=len(synthetic),
        n_null=len(null),
        n_null_patients=len(set(null_patients)),
        median_ratio=float(np.median(synthetic) / quantile(null, 0.5)),
        median_ratio_interval=bootstrap.percentile(draws[:, 1]),
        threshold=quantile(null, LEVEL),
        share=share,
        share_interval=(low, high),
        share_low=low,
        expected=LEVEL,
        n_below_null=int((synthetic < null.min()).sum()),
        detectable=detectable(n=len(synthetic), null=null, null_patients=null_patients, rng=rng),
    )


def quantile(values: Float64, level: float, weights: Float64 | None = None) -> float:
    """The smallest value that a share `level` of the (weighted) values does not exceed."""
    order = np.argsort(values, kind="stable")
    mass = np.ones(len(values)) if weights is None else weights[order]
    reached = np.cumsum(mass) / mass.sum()
    at = min(int(np.searchsorted(reached, level - 1e-12)), len(values) - 1)
    return float(values[order[at]])


def detectable(*, n: int, null: Float64, null_patients: NDArray[np.object_], rng: np.random.Generator) -> float | None:
    """The smallest share of copies among `n` images whose interval lies above LEVEL in four of five such sets.

    Copies are taken to be found at all, and the other images to be as far as the null's films; None where no share is
    enough. Each simulated set has its own interval, over the same resamples of patients.
    """
    quantiles = np.array(
        [quantile(null, LEVEL, bootstrap.patient_weights(null_patients, rng)) for _ in range(_N_DRAWS)]
    )

    def power(n_copies: int) -> float:
        innocent = np.sort(rng.choice(null, size=(_N_SIMULATED, n - n_copies)), axis=1)
        counts = np.array([np.searchsorted(row, quantiles, side="left") for row in innocent]) + n_copies
        drawn = rng.binomial(n, counts / n) / n
        return float((np.percentile(drawn, 2.5, axis=1) > LEVEL).mean())

    low, high = 0, n
    if power(high) < _POWER:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= _POWER else (middle, high)
    return high / n
