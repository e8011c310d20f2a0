"""Precision, recall, density and coverage (PRDC) of synthetic images, and their coverage relative to training films.

Kynkaanniemi et al., arXiv 1904.06991 (precision, recall); Naeem et al., arXiv 2002.09797 (density, coverage). The ball
of a row reaches to its k-th nearest neighbour on the same side. Precision is the share of synthetic images inside any
real ball. Recall is the share of real films inside any synthetic ball. Density is the mean number of real balls that
contain a synthetic image, divided by k. Coverage is the share of real balls that contain a synthetic image.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcxr.data.share_interval import wilson_interval
from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import bootstrap, nearest_neighbours
from synthcxr.evaluation.metrics.bootstrap import Interval
from synthcxr.storage.progress import track

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

K = 5


@dataclasses.dataclass(frozen=True)
class Prdc:
    """The four metrics. All are between 0 and 1, except density, which can be above 1."""

    precision: float
    recall: float
    density: float
    coverage: float


@dataclasses.dataclass(frozen=True)
class RelativeCoverage:
    """Synthetic images and, at equal N, training films, each compared with the same test films.

    `relative` is the ratio of the two coverages, or None if the training films cover nothing. Intervals are 95 %, over
    resampled patients and images.
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
class _BallMembership:
    """Which real balls contain which images [n, m], and which synthetic balls contain which films [m, n]."""

    real: Bool
    synthetic: Bool

    def compute(self, k: int, film_weights: Float64 | None = None, image_weights: Float64 | None = None) -> Prdc:
        """The four metrics, with optional weights of the films [n] and of the images [m]."""
        n, m = self.real.shape
        film_weights = np.ones(n) if film_weights is None else film_weights
        image_weights = np.ones(m) if image_weights is None else image_weights
        n_balls_around_image = film_weights @ self.real
        is_film_in_ball = (image_weights @ self.synthetic) > 0
        is_ball_covered = (self.real @ image_weights) > 0
        return Prdc(
            precision=float(image_weights @ (n_balls_around_image > 0) / image_weights.sum()),
            recall=float(film_weights @ is_film_in_ball / film_weights.sum()),
            density=float(image_weights @ n_balls_around_image / (k * image_weights.sum())),
            coverage=float(film_weights @ is_ball_covered / film_weights.sum()),
        )


def prdc(*, real: ArrayLike, synthetic: ArrayLike, k: int = K) -> Prdc:
    """All four metrics from features [n, d] of real films and [m, d] of images; DataError for k or fewer rows."""
    return _find_members(real, synthetic, k).compute(k)


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
) -> RelativeCoverage:
    """Compare N synthetic images and N training films with the same test films, from features [n, d].

    N is the smaller of the two numbers: the first N images, or N randomly chosen films. The balls are computed once
    from all rows, and only the weights of rows are resampled. A resample repeats rows and so covers less; therefore
    the intervals are the spread of the draws, centred on the value.
    """
    train_features, synthetic_features = np.asarray(train), np.asarray(synthetic)
    n_train = len(train_features)
    n = min(n_train, len(synthetic_features))
    chosen = np.sort(rng.choice(n_train, size=n, replace=False)) if n < n_train else np.arange(n)
    train_members = _find_members(test, train_features[chosen], k)
    synthetic_members = _find_members(test, synthetic_features[:n], k)
    value, floor = synthetic_members.compute(k), train_members.compute(k)
    draws = np.empty((n_bootstrap, 3))
    for row in track(draws, "coverage", unit="resamples"):
        test_weights = bootstrap.resample_patients(test_patients, rng)
        synthetic_draw = synthetic_members.compute(k, test_weights, bootstrap.resample_images(n, rng))
        train_draw = train_members.compute(k, test_weights, bootstrap.resample_patients(train_patients[chosen], rng))
        ratio = synthetic_draw.coverage / train_draw.coverage if train_draw.coverage else np.nan
        row[:] = synthetic_draw.coverage, synthetic_draw.precision, ratio
    coverage_interval = _share_interval(value.coverage, draws[:, 0], len(set(test_patients)))
    relative = relative_interval = None
    if floor.coverage:
        relative = value.coverage / floor.coverage
        relative_interval = _ratio_interval(relative, draws[:, 2], coverage_interval, floor.coverage)
    return RelativeCoverage(
        synthetic=value,
        training=floor,
        coverage_interval=coverage_interval,
        precision_interval=_share_interval(value.precision, draws[:, 1], n),
        relative=relative,
        relative_interval=relative_interval,
        k=k,
        n=n,
        n_test=len(synthetic_members.real),
    )


def _share_interval(share: float, draws: Float64, n: int) -> Interval:
    """The spread of the draws, centred on the share; Wilson's over n at 0 and 1, where no resample differs."""
    if share in (0, 1):
        return wilson_interval(share * n, n)
    return bootstrap.centred_share_interval(share, draws)


def _ratio_interval(relative: float, draws: Float64, coverage_interval: Interval, floor: float) -> Interval | None:
    """The spread of the defined draws, centred on the ratio; at a ratio of 0, the coverage interval over the floor."""
    if relative == 0:
        return 0.0, coverage_interval[1] / floor
    defined = draws[~np.isnan(draws)]
    return bootstrap.centred_interval(relative, defined) if len(defined) else None


def _find_members(real: ArrayLike, synthetic: ArrayLike, k: int) -> _BallMembership:
    films, images = np.asarray(real, dtype=np.float64), np.asarray(synthetic, dtype=np.float64)
    if min(len(films), len(images)) <= k:
        raise DataError(
            f"coverage with k = {k} needs more than {k} films and images, got {len(films)} and {len(images)}"
        )
    distances = np.concatenate(list(nearest_neighbours.pairwise_distances(films, images)))
    return _BallMembership(
        real=np.less(distances, _compute_radii(films, k)[:, None]),
        synthetic=np.less(distances.T, _compute_radii(images, k)[:, None]),
    )


def _compute_radii(rows: Float64, k: int) -> Float64:
    """The distance [n] of each row to its k-th nearest other row."""
    blocks = (np.partition(block, k, axis=1)[:, k] for block in nearest_neighbours.pairwise_distances(rows, rows))
    return np.concatenate(list(blocks))
