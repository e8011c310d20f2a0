"""Confidence intervals (95 %) by bootstrap over patients or images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64 = NDArray[np.float64]
Interval = tuple[float, float]

_TAILS = (2.5, 97.5)


def resample_patients(patients: Sequence[object] | NDArray[np.object_], rng: np.random.Generator) -> Float64:
    """The weight of each film [n] in one bootstrap resample of the patients: all films of a patient together."""
    _, codes = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    n_patients = int(codes.max()) + 1
    return rng.multinomial(n_patients, np.full(n_patients, 1 / n_patients))[codes].astype(np.float64)


def resample_images(n: int, rng: np.random.Generator) -> Float64:
    """The weight of each of n independent images in one bootstrap resample."""
    return rng.multinomial(n, np.full(n, 1 / n)).astype(np.float64)


def percentile_interval(draws: ArrayLike) -> Interval:
    """The interval that holds the central 95 % of the draws."""
    low, high = np.percentile(np.asarray(draws, dtype=np.float64), _TAILS)
    return float(low), float(high)


def centred_interval(value: float, draws: ArrayLike) -> Interval:
    """The 95 % interval of a non-negative quantity with biased draws: the spread of the draws, centred on the value.

    A resample repeats rows, which changes a distance between covariances like a smaller N does. The draws then lie
    far above the value, and a percentile interval almost never covers the true value. The spread is correct.
    """
    draws = np.asarray(draws, dtype=np.float64)
    low, high = percentile_interval(draws - draws.mean())
    return max(value + low, 0.0), value + high


def centred_share_interval(value: float, draws: ArrayLike) -> Interval:
    """`centred_interval` for a share, which is at most 1."""
    low, high = centred_interval(value, draws)
    return min(low, 1.0), min(high, 1.0)


def centred_ratio_interval(value: float, draws: ArrayLike) -> Interval:
    """`centred_interval` for a ratio of positive quantities, on the log scale.

    For the relative distance of simulated features (N from 60 to 450, 12 to 256 features) its coverage was 0.83 to
    0.98. The coverage is lowest if synthetic and real features hardly differ.
    """
    logs = np.log(np.asarray(draws, dtype=np.float64))
    low, high = percentile_interval(logs - logs.mean())
    return value * math.exp(low), value * math.exp(high)
