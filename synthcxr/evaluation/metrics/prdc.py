"""Precision, recall, density and coverage of synthetic images, and coverage as a share of what training films reach.

Kynkaanniemi et al., arXiv 1904.06991 (precision, recall); Naeem et al., arXiv 2002.09797 (density, coverage). Each
row has a ball around it that reaches to its k-th nearest neighbour of its own kind. Precision is the share of
synthetic images within any real ball, recall that of real films within any synthetic ball, density how many real
balls hold a synthetic image divided by k, coverage the share of real balls that hold one.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import bootstrap, nearest_neighbours
from synthcxr.evaluation.metrics.bootstrap import Interval

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

K = 5


@dataclasses.dataclass(frozen=True)
class Prdc:
    """The four, each between 0 and 1 but density, which may be more."""

    precision: float
    recall: float
    density: float
    coverage: float


@dataclasses.dataclass(frozen=True)
class Coverage:
    """`synthetic` against test films, `training` films against the same at equal N, and coverage as their ratio.

    `relative` is None where training films cover nothing. Intervals are 95 %, over resampled patients and images.
    """

    synthetic: Prdc
    training: Prdc
    coverage_interval: Interval
    precision_interval: Interval
    relative: float | None
    relative_interval: Interval | None
    k: int
    n: int
    n_test: int


@dataclasses.dataclass(frozen=True)
class _Balls:
    """Which real balls hold which synthetic image [n, m], and which synthetic balls hold which real film [m, n]."""

    real: Bool
    synthetic: Bool

    def measure(self, k: int, films: Float64 | None = None, made: Float64 | None = None) -> Prdc:
        """The four, each film counted `films` [n] times and each image `made` [m] times."""
        n, m = self.real.shape
        films, made = np.ones(n) if films is None else films, np.ones(m) if made is None else made
        inside = films @ self.real
        return Prdc(
            precision=float(made @ (inside > 0) / made.sum()),
            recall=float(films @ ((made @ self.synthetic) > 0) / films.sum()),
            density=float(made @ inside / (k * made.sum())),
            coverage=float(films @ ((self.real @ made) > 0) / films.sum()),
        )


def prdc(*, real: ArrayLike, synthetic: ArrayLike, k: int = K) -> Prdc:
    """All four of features [n, d] of real films and [m, d] of synthetic images; more than k rows of each are needed."""
    return _balls(real, synthetic, k).measure(k)


def relative_coverage(
    *,
    train: ArrayLike,
    test: ArrayLike,
    synthetic: ArrayLike,
    test_patients: NDArray[np.object_],
    train_patients: NDArray[np.object_],
    n_bootstrap: int,
    rng: np.random.Generator,
    k: int = K,
) -> Coverage:
    """Synthetic images [n, d] and as many training films, each against the same test films [n_test, d].

    The larger of the two is reduced to the other's N: images to the first, films by drawing. The balls stay those of
    all rows while these are resampled; a resample repeats rows and so covers less, hence the spread of the draws is
    laid around the value.
    """
    films, made = np.asarray(train, dtype=np.float64), np.asarray(synthetic, dtype=np.float64)
    n = min(len(films), len(made))
    chosen = np.sort(rng.choice(len(films), size=n, replace=False)) if n < len(films) else np.arange(n)
    of_films, of_made = _balls(test, films[chosen], k), _balls(test, made[:n], k)
    value, base = of_made.measure(k), of_films.measure(k)
    draws = np.empty((n_bootstrap, 3))
    for row in draws:
        held = bootstrap.patient_weights(test_patients, rng)
        drawn = of_made.measure(k, held, bootstrap.image_weights(n, rng))
        again = of_films.measure(k, held, bootstrap.patient_weights(train_patients[chosen], rng))
        row[:] = drawn.coverage, drawn.precision, drawn.coverage / again.coverage if again.coverage else np.nan
    relative = value.coverage / base.coverage if base.coverage else None
    covered = _interval(value.coverage, draws[:, 0], len(set(test_patients)))
    return Coverage(
        synthetic=value,
        training=base,
        coverage_interval=covered,
        precision_interval=_interval(value.precision, draws[:, 1], n),
        relative=relative,
        relative_interval=None if relative is None else _ratio_interval(relative, draws[:, 2], covered, base.coverage),
        k=k,
        n=n,
        n_test=len(of_made.real),
    )


def _interval(share: float, draws: Float64, n: int) -> Interval:
    """The spread of the draws around the share; Wilson's over n where all resamples agree, at 0 and at 1."""
    return bootstrap.wilson(share * n, n) if share in (0, 1) else bootstrap.centred_share(share, draws)


def _ratio_interval(relative: float, draws: Float64, covered: Interval, base: float) -> Interval | None:
    """The spread of the defined draws around the ratio; where nothing is covered, what that share's interval leaves."""
    if relative == 0:
        return 0.0, covered[1] / base
    defined = draws[~np.isnan(draws)]
    return bootstrap.centred(relative, defined) if len(defined) else None


def _balls(real: ArrayLike, synthetic: ArrayLike, k: int) -> _Balls:
    films, made = np.asarray(real, dtype=np.float64), np.asarray(synthetic, dtype=np.float64)
    if min(len(films), len(made)) <= k:
        raise DataError(f"coverage with k = {k} needs more than {k} films and images, found {len(films)}, {len(made)}")
    between = np.concatenate(list(nearest_neighbours.distances(films, made)))
    return _Balls(
        real=np.less(between, _radii(films, k)[:, None]), synthetic=np.less(between.T, _radii(made, k)[:, None])
    )


def _radii(rows: Float64, k: int) -> Float64:
    """The distance [n] of each row to its k-th nearest other row."""
    blocks = (np.partition(block, k, axis=1)[:, k] for block in nearest_neighbours.distances(rows, rows))
    return np.concatenate(list(blocks))
