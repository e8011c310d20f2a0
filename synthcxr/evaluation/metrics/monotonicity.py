"""Measures whether a Fréchet distance grows at every level of a disturbance, with intervals.

The distance is between unchanged films and disturbed films of other patients, so it starts at the distance between two
sets of real films. All levels share the resamples of patients, which makes the interval of a step between two levels
narrower.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcxr.evaluation.metrics import bootstrap, frechet
from synthcxr.evaluation.metrics.bootstrap import Interval
from synthcxr.storage.progress import track

Float64 = NDArray[np.float64]
Grows = Literal["yes", "within chance", "no"]


@dataclasses.dataclass(frozen=True)
class DistanceAtLevel:
    """The distance at one level, and its rise over the previous level (None at the first level)."""

    level: float
    value: float
    interval: Interval
    rise: float | None
    rise_interval: Interval | None


@dataclasses.dataclass(frozen=True)
class DisturbanceCurve:
    """The distances at all levels of one disturbance, each between `n_reference` and `n_disturbed` films."""

    levels: tuple[DistanceAtLevel, ...]
    n_reference: int
    n_disturbed: int

    @property
    def grows(self) -> Grows:
        """Return "yes" if every rise has an interval above 0, "no" if a rise is at most 0, else "within chance"."""
        steps = self.levels[1:]
        if any(step.rise is None or step.rise <= 0 for step in steps):
            return "no"
        significant = all(step.rise_interval is not None and step.rise_interval[0] > 0 for step in steps)
        return "yes" if significant else "within chance"


def measure_curves(
    *,
    reference: ArrayLike,
    untouched: ArrayLike,
    disturbed: Mapping[str, Mapping[float, ArrayLike]],
    reference_patients: NDArray[np.object_],
    disturbed_patients: NDArray[np.object_],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> dict[str, DisturbanceCurve]:
    """Measure one curve for each disturbance.

    `reference` are features [n, d] of unchanged films; `disturbed` holds, by disturbance and level, the features
    [m, d] of the disturbed films. `untouched` [m, d] are the same films before the disturbance and the first level of
    each curve. Intervals resample patients.
    """
    feature_sets = [
        np.asarray(features, dtype=np.float64)
        for features in [untouched, *(rows for levels in disturbed.values() for rows in levels.values())]
    ]
    reference_features = np.asarray(reference, dtype=np.float64)
    reference_gaussian = frechet.fit_gaussian(reference_features)
    values = np.array(
        [frechet.frechet_distance_between(frechet.fit_gaussian(rows), reference_gaussian) for rows in feature_sets]
    )
    draws = np.empty((n_bootstrap, len(feature_sets)))
    for row in track(draws, "intervals", unit="resamples"):
        weights = bootstrap.resample_patients(reference_patients, rng)
        reference_draw = frechet.fit_gaussian(reference_features, weights=weights)
        weights = bootstrap.resample_patients(disturbed_patients, rng)
        row[:] = [
            frechet.frechet_distance_approx(frechet.fit_gaussian(rows, weights=weights), reference_draw)
            for rows in feature_sets
        ]
    curves, start = {}, 1
    for name, levels in disturbed.items():
        columns = [0, *range(start, start + len(levels))]
        start += len(levels)
        points = _distances_by_level((0.0, *levels), values[columns], draws[:, columns])
        curves[name] = DisturbanceCurve(points, n_reference=len(reference_features), n_disturbed=len(feature_sets[0]))
    return curves


def _distances_by_level(levels: Sequence[float], values: Float64, draws: Float64) -> tuple[DistanceAtLevel, ...]:
    """The levels [k] of one curve from their distances [k] and the distances in each resample [B, k]."""
    rises: list[tuple[float | None, Interval | None]] = [(None, None)]
    for rise, rise_draws in zip(np.diff(values), np.diff(draws, axis=1).T, strict=True):
        low, high = bootstrap.percentile_interval(rise_draws - rise_draws.mean())
        rises.append((float(rise), (float(rise) + low, float(rise) + high)))
    return tuple(
        DistanceAtLevel(level, float(value), bootstrap.centred_interval(float(value), level_draws), *rise)
        for level, value, level_draws, rise in zip(levels, values, draws.T, rises, strict=True)
    )
