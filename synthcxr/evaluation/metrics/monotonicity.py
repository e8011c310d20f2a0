"""Whether a Frechet distance grows at every step of a disturbance, and how sure that is.

The distance is between films as they are and disturbed films of other patients, so that it starts at what two sets of
real films have between them. One draw of patients serves all levels: what two levels share does not blur their step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcxr.evaluation.metrics import bootstrap, frechet
from synthcxr.evaluation.metrics.bootstrap import Interval

Float64 = NDArray[np.float64]
Grows = Literal["yes", "within chance", "no"]


@dataclasses.dataclass(frozen=True)
class Level:
    """The distance at one level, and how far it lies above that of the level before (None at the first)."""

    level: float
    value: float
    interval: Interval
    rise: float | None
    rise_interval: Interval | None


@dataclasses.dataclass(frozen=True)
class Curve:
    """The distances of one disturbance, level by level, at the same `n_reference` and `n_disturbed` films."""

    levels: tuple[Level, ...]
    n_reference: int
    n_disturbed: int

    @property
    def grows(self) -> Grows:
        """ "yes" where every step's interval lies above 0, "no" where a step falls, else "within chance"."""
        steps = self.levels[1:]
        if any(step.rise is None or step.rise <= 0 for step in steps):
            return "no"
        sure = all(step.rise_interval is not None and step.rise_interval[0] > 0 for step in steps)
        return "yes" if sure else "within chance"


def curves(
    *,
    reference: ArrayLike,
    untouched: ArrayLike,
    disturbed: Mapping[str, Mapping[float, ArrayLike]],
    reference_patients: NDArray[np.object_],
    disturbed_patients: NDArray[np.object_],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> dict[str, Curve]:
    """A curve for each disturbance from features [n, d] of films and, by level, of the disturbed ones [m, d].

    `untouched` [m, d] are the disturbed films before, the first level of each; intervals resample patients.
    """
    sets = [untouched, *(rows for levels in disturbed.values() for rows in levels.values())]
    held = [np.asarray(rows, dtype=np.float64) for rows in sets]
    films = np.asarray(reference, dtype=np.float64)
    fitted = frechet.fitted(films)
    values = np.array([frechet.between(frechet.fitted(rows), fitted) for rows in held])
    draws = np.empty((n_bootstrap, len(held)))
    for row in draws:
        drawn = frechet.fitted(films, weights=bootstrap.patient_weights(reference_patients, rng))
        weights = bootstrap.patient_weights(disturbed_patients, rng)
        row[:] = [frechet.quickly_between(frechet.fitted(rows, weights=weights), drawn) for rows in held]
    found, start = {}, 1
    for name, levels in disturbed.items():
        at = [0, *range(start, start + len(levels))]
        start += len(levels)
        points = _levels((0.0, *levels), values[at], draws[:, at])
        found[name] = Curve(points, n_reference=len(films), n_disturbed=len(held[0]))
    return found


def _levels(levels: Sequence[float], values: Float64, draws: Float64) -> tuple[Level, ...]:
    rises, drawn = np.diff(values), np.diff(draws, axis=1)
    steps: list[tuple[float | None, Interval | None]] = [(None, None)]
    for rise, each in zip(rises, drawn.T, strict=True):
        low, high = bootstrap.percentile(each - each.mean())
        steps.append((float(rise), (float(rise) + low, float(rise) + high)))
    return tuple(
        Level(level, float(value), bootstrap.centred(float(value), each), *step)
        for level, value, each, step in zip(levels, values, draws.T, steps, strict=True)
    )
