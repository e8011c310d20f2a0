"""The Fréchet distance for infinitely many synthetic images, extrapolated from its values at several N.

Chong and Forsyth, arXiv 1911.07023: the bias of the distance is linear in 1 / N. So the intercept of a line through
its values at several N is free of the bias that the number of images causes. The bias that the number of real films
causes remains; it is the same for every generator.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import bootstrap, frechet
from synthcxr.evaluation.metrics.bootstrap import Interval
from synthcxr.evaluation.metrics.frechet import Gaussian
from synthcxr.storage.progress import track

SMALLEST_N, N_POINTS, N_REPEATS = 50, 8, 12
MIN_IMAGES = 2 * SMALLEST_N


@dataclasses.dataclass(frozen=True)
class ExtrapolatedDistance:
    """The mean intercept, its interval over `n_repeats` fits to new subsets, and the N of the points (`at`)."""

    value: float
    interval: Interval
    at: tuple[int, ...]
    n_repeats: int


def frechet_infinity(
    *, real: Gaussian, synthetic: ArrayLike, rng: np.random.Generator, n_repeats: int = N_REPEATS
) -> ExtrapolatedDistance:
    """Extrapolate the distance between fitted films and features [n, d] of images.

    Subset sizes are evenly spaced in 1 / N, from a quarter of the images (at least SMALLEST_N) to all of them.
    Raises DataError for fewer than MIN_IMAGES images.
    """
    features = np.asarray(synthetic)
    smallest = max(SMALLEST_N, len(features) // 4)
    if len(features) < MIN_IMAGES:
        raise DataError(f"{len(features)} images are too few to extrapolate from; at least {MIN_IMAGES} are necessary")
    sizes = np.unique(np.round(1 / np.linspace(1 / smallest, 1 / len(features), N_POINTS)).astype(int))
    values = np.empty((n_repeats, len(sizes)))
    for row in track(values, "extrapolated distance", unit="repeats"):
        order = rng.permutation(len(features))
        row[:] = [_measure_subset(real, features, order[:n]) for n in sizes]
    design = np.stack([np.ones(len(sizes)), 1 / sizes], axis=1)
    intercepts = np.linalg.lstsq(design, values.T, rcond=None)[0][0]
    return ExtrapolatedDistance(
        value=float(intercepts.mean()),
        interval=bootstrap.percentile_interval(intercepts),
        at=tuple(int(n) for n in sizes),
        n_repeats=n_repeats,
    )


def _measure_subset(real: Gaussian, features: NDArray[np.floating], rows: NDArray[np.int64]) -> float:
    """The distance of the given rows of features [n, d], which are not copied."""
    weights = np.zeros(len(features))
    weights[rows] = 1
    return frechet.frechet_distance_approx(frechet.fit_gaussian(features, "synthetic", weights=weights), real)
