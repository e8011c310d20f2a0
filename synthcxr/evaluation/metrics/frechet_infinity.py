"""The Frechet distance that infinitely many synthetic images would have: its values at several N, extrapolated.

Chong and Forsyth, arXiv 1911.07023: the bias of the distance is linear in 1 / N, so the intercept of a line through
its values at several N is free of the synthetic side's part of it. That of the real side, whose films are all there
are, stays: it is the same for every generator.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import bootstrap, frechet
from synthcxr.evaluation.metrics.bootstrap import Interval
from synthcxr.evaluation.metrics.frechet import Gaussian

SMALLEST_N, N_POINTS, N_REPEATS = 50, 8, 12
LEAST = 2 * SMALLEST_N


@dataclasses.dataclass(frozen=True)
class Infinity:
    """The intercept, its interval over `n_repeats` fits to fresh subsets, and the N of the points."""

    value: float
    interval: Interval
    at: tuple[int, ...]
    n_repeats: int


def frechet_infinity(
    *, real: Gaussian, synthetic: ArrayLike, rng: np.random.Generator, n_repeats: int = N_REPEATS
) -> Infinity:
    """Extrapolate the distance of features [n, d] of images to the fitted films; DataError for fewer than LEAST.

    Sizes are evenly spaced in 1 / N from a quarter of the images, or SMALLEST_N, to all of them.
    """
    made = np.asarray(synthetic, dtype=np.float64)
    least = max(SMALLEST_N, len(made) // 4)
    if len(made) < LEAST:
        raise DataError(f"{len(made)} images are too few to extrapolate from; {LEAST} are needed")
    sizes = np.unique(np.round(1 / np.linspace(1 / least, 1 / len(made), N_POINTS)).astype(int))
    values = np.empty((n_repeats, len(sizes)))
    for row in values:
        order = rng.permutation(len(made))
        row[:] = [frechet.distance_to(real, made[order[:n]]) for n in sizes]
    slopes = np.stack([np.ones(len(sizes)), 1 / sizes], axis=1)
    intercepts = np.linalg.lstsq(slopes, values.T, rcond=None)[0][0]
    value = float(intercepts.mean())
    spread = bootstrap.percentile(intercepts)
    return Infinity(value, spread, tuple(int(n) for n in sizes), n_repeats)
