"""Intervals: patients or images resampled, with whole patients kept together, and Wilson's for a plain share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64 = NDArray[np.float64]
Interval = tuple[float, float]

Z = 1.959963984540054
_TAILS = (2.5, 97.5)


def patient_weights(patients: Sequence[object] | NDArray[np.object_], rng: np.random.Generator) -> Float64:
    """How often each film [n] counts when as many patients as there are are drawn with replacement."""
    _, codes = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    n_patients = int(codes.max()) + 1
    return rng.multinomial(n_patients, np.full(n_patients, 1 / n_patients))[codes].astype(np.float64)


def image_weights(n: int, rng: np.random.Generator) -> Float64:
    """How often each of n independent images counts when n are drawn with replacement."""
    return rng.multinomial(n, np.full(n, 1 / n)).astype(np.float64)


def percentile(draws: ArrayLike) -> Interval:
    """The central 95 % of the draws."""
    low, high = np.percentile(np.asarray(draws, dtype=np.float64), _TAILS)
    return float(low), float(high)


def centred(value: float, draws: ArrayLike) -> Interval:
    """95 % interval of a non-negative quantity whose draws are biased: their spread, laid around the value.

    A resample repeats rows, and a distance between covariances reads that as a smaller N: its draws lie far above
    the value and a plain percentile interval covers the truth next to never. Their spread is right.
    """
    draws = np.asarray(draws, dtype=np.float64)
    low, high = percentile(draws - draws.mean())
    return max(value + low, 0.0), value + high


def centred_share(value: float, draws: ArrayLike) -> Interval:
    """`centred` for a share, which is never above 1."""
    low, high = centred(value, draws)
    return min(low, 1.0), min(high, 1.0)


def centred_ratio(value: float, draws: ArrayLike) -> Interval:
    """`centred` for a ratio of positive quantities, on the log scale.

    For the relative distance of simulated features its coverage was 0.83 to 0.98, lowest where synthetic and real
    hardly differ (N of 60 to 450, 12 to 256 features).
    """
    logs = np.log(np.asarray(draws, dtype=np.float64))
    low, high = percentile(logs - logs.mean())
    return value * math.exp(low), value * math.exp(high)


def wilson(n_positive: float, n: int) -> Interval:
    """Wilson's 95 % score interval of a share (Wilson, JASA 22, 1927)."""
    share, spread = n_positive / n, Z * Z / n
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(middle - half, 0.0), min(middle + half, 1.0)
