"""Frechet distance between feature sets, exact for any N, and its relation to the real-real distance at equal N.

Heusel et al., arXiv 1706.08500, eq. 6. With A and B any factors of the two covariances (A^T A = C), the trace of the
square root of C_a C_b is the nuclear norm of A B^T, so no matrix square root is taken and nothing turns complex. The
centred, scaled features are such factors; for more rows than features a d x d one stands in.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import bootstrap
from synthcxr.evaluation.metrics.bootstrap import Interval

Float64 = NDArray[np.float64]

MIN_FILMS = 50
_GOOD = 1e-9
_GRAM_NOISE = 4.0  # times rows times machine epsilon times the largest eigenvalue bounds an eigenvalue's error


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Whose features they are: the extractor's name, the sha256 of its weights, and how images reached its size."""

    extractor: str
    digest: str
    resize: str


@dataclasses.dataclass(frozen=True)
class Distance:
    """Frechet distance of synthetic images to test films, and of training films as the floor, at equal N.

    `value` is between the first `n_synthetic` images and `n_test` films, `floor` between `floor_n` (the same number)
    of the `n_train` training films and the same test films; `relative` is their ratio. Intervals are 95 %.
    """

    provenance: Provenance
    value: float
    interval: Interval
    floor: float
    relative: float
    relative_interval: Interval
    n_synthetic: int
    floor_n: int
    n_train: int
    n_test: int


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Mean [d] and a factor of the covariance [m, d], m <= d."""

    mean: Float64
    factor: Float64


def frechet_distance(*, real: ArrayLike, synthetic: ArrayLike) -> float:
    """The Frechet distance between Gaussians fitted to features [n, d] and [m, d], in float64.

    Covariances are the unbiased ones. Raises DataError for fewer than two rows, other widths or values not finite.
    """
    pair = _checked(real, "real"), _checked(synthetic, "synthetic")
    _require_same_width(*pair)
    a, b = (_fit(features, np.ones(len(features))) for features in pair)
    return between(a, b)


def fitted(features: ArrayLike, name: str = "real", *, weights: Float64 | None = None) -> Gaussian:
    """The Gaussian of features [n, d], for distances from the same side again and again; rows may have weights [n]."""
    rows = _checked(features, name)
    return _fit(rows, np.ones(len(rows)) if weights is None else weights)


def from_moments(mean: Float64, covariance: Float64) -> Gaussian:
    """The Gaussian of a mean [d] and a covariance [d, d], which may be singular."""
    return Gaussian(mean=mean, factor=_square_factor(covariance))


def between(a: Gaussian, b: Gaussian) -> float:
    """The Frechet distance of two Gaussians."""
    return _distance(a, b, trace=_nuclear_norm)


def quickly_between(a: Gaussian, b: Gaussian) -> float:
    """The same, right to 1e-7 of it and quicker: for resamples."""
    return _distance(a, b, trace=_quick_nuclear_norm)


def distance_to(real: Gaussian, synthetic: ArrayLike) -> float:
    """`frechet_distance` from a side that is already fitted, right to 1e-7 of it and quicker."""
    rows = _checked(synthetic, "synthetic")
    return _distance(_fit(rows, np.ones(len(rows))), real, trace=_quick_nuclear_norm)


def relative_distance(
    *,
    train: ArrayLike,
    test: ArrayLike,
    synthetic: ArrayLike,
    train_patients: NDArray[np.object_],
    test_patients: NDArray[np.object_],
    provenance: Provenance,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> Distance:
    """FD(as many synthetic images as training films, test films) / FD(training films, test films), features [n, d].

    With fewer images than training films, as many of these are drawn without replacement. Intervals resample
    patients for films and images for synthetic ones; one draw of test films serves both distances.
    """
    real, held_out, made = _checked(train, "train"), _checked(test, "test"), _checked(synthetic, "synthetic")
    _require_same_width(real, held_out, made)
    n_train, n = len(real), min(len(real), len(made))
    chosen = np.sort(rng.choice(n_train, size=n, replace=False)) if n < n_train else np.arange(n_train)
    real, patients, made = real[chosen], train_patients[chosen], made[:n]
    fitted = _fit(held_out, np.ones(len(held_out)))
    floor = _distance(_fit(real, np.ones(n)), fitted, trace=_nuclear_norm)
    value = _distance(_fit(made, np.ones(n)), fitted, trace=_nuclear_norm)
    if floor <= 0:
        raise DataError(f"{provenance.extractor}: gives training and test films the same features; it cannot judge")
    draws = np.empty((n_bootstrap, 2))
    for row in draws:
        drawn = _fit(held_out, bootstrap.patient_weights(test_patients, rng))
        row[0] = _distance(_fit(real, bootstrap.patient_weights(patients, rng)), drawn, trace=_quick_nuclear_norm)
        row[1] = _distance(_fit(made, bootstrap.image_weights(n, rng)), drawn, trace=_quick_nuclear_norm)
    return Distance(
        provenance=provenance,
        value=value,
        interval=bootstrap.centred(value, draws[:, 1]),
        floor=floor,
        relative=value / floor,
        relative_interval=bootstrap.centred_ratio(value / floor, draws[:, 1] / draws[:, 0]),
        n_synthetic=n,
        floor_n=n,
        n_train=n_train,
        n_test=len(held_out),
    )


def _checked(features: ArrayLike, name: str) -> Float64:
    array = np.asarray(features, dtype=np.float64)
    if array.ndim != 2 or len(array) < 2:
        raise DataError(f"{name} features: expected at least two rows [n, d], found shape {list(array.shape)}")
    if not np.isfinite(array).all():
        raise DataError(f"{name} features: not all values are finite")
    return array


def _require_same_width(*sets: Float64) -> None:
    widths = {features.shape[1] for features in sets}
    if len(widths) > 1:
        raise DataError(f"features of different extractors: widths {', '.join(map(str, sorted(widths)))}")


def _fit(features: Float64, weights: Float64) -> Gaussian:
    """The Gaussian of features [n, d] of which each row counts `weights` times."""
    held = weights > 0
    rows, weights = features[held], weights[held]
    total = weights.sum()
    mean = weights @ rows / total
    factor = np.sqrt(weights / (total - 1))[:, None] * (rows - mean)
    if len(factor) > factor.shape[1]:
        factor = _square_factor(factor.T @ factor)
    return Gaussian(mean=mean, factor=factor)


def _square_factor(covariance: Float64) -> Float64:
    """F [d, d] with F^T F = covariance, also where that is singular."""
    try:
        factor = np.linalg.cholesky(covariance).T
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        factor = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
    return np.asarray(factor, dtype=np.float64)


def _distance(a: Gaussian, b: Gaussian, *, trace: Callable[[Float64], float]) -> float:
    shift = float(((a.mean - b.mean) ** 2).sum())
    spread = float((a.factor**2).sum() + (b.factor**2).sum())
    return max(shift + spread - 2 * trace(a.factor @ b.factor.T), 0.0)


def _nuclear_norm(product: Float64) -> float:
    """The sum of the singular values: from the Gram matrix where that is provably good to 1e-9, else by the SVD."""
    values = _gram_eigenvalues(product)
    total = float(np.sqrt(values).sum())
    if total > 0:
        noise = _GRAM_NOISE * len(values) * np.finfo(np.float64).eps * float(values.max())
        missed = np.minimum(math.sqrt(noise), noise / np.maximum(np.sqrt(values), math.sqrt(noise)))
        if missed.sum() <= _GOOD * total:
            return total
    return float(np.linalg.svd(product, compute_uv=False).sum())


def _quick_nuclear_norm(product: Float64) -> float:
    """The same from the Gram matrix whatever its condition: right to 1e-7 of it. For resamples."""
    return float(np.sqrt(_gram_eigenvalues(product)).sum())


def _gram_eigenvalues(product: Float64) -> Float64:
    """The squared singular values, from the smaller Gram matrix: up to seventeen times faster than an SVD."""
    rows, columns = product.shape
    gram = product.T @ product if rows > columns else product @ product.T
    return np.asarray(np.maximum(np.linalg.eigvalsh(gram), 0))
