"""The peak memory of metrics, which must not grow with the number of images as copies of their features would."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from synthcxr.evaluation.metrics import frechet, frechet_infinity, kernel_distance, prdc
from synthcxr.evaluation.metrics.nearest_neighbours import find_nearest

Float32 = np.ndarray
D, N_FILMS = 128, 60
SMALL, LARGE = 6144, 24_576


def draw_rows(n: int, seed: int) -> Float32:
    return np.random.default_rng(seed).standard_normal((n, D), dtype=np.float32)


TRAIN, TEST = draw_rows(2 * N_FILMS, 1), draw_rows(N_FILMS, 2)
TRAIN_PATIENTS, TEST_PATIENTS = (np.arange(len(rows)).astype(str).astype(object) for rows in (TRAIN, TEST))


def compare_by(metric: Callable[..., object], synthetic: Float32) -> None:
    metric(
        train=TRAIN,
        test=TEST,
        synthetic=synthetic,
        train_patients=TRAIN_PATIENTS,
        test_patients=TEST_PATIENTS,
        n_bootstrap=2,
        rng=np.random.default_rng(3),
    )


def extrapolate(synthetic: Float32) -> None:
    frechet_infinity.frechet_infinity(
        real=frechet.fit_gaussian(TEST), synthetic=synthetic, rng=np.random.default_rng(3), n_repeats=2
    )


def measure_kernel_distance(synthetic: Float32) -> None:
    kernel_distance.kernel_distance_by_subsets(
        train=TRAIN, test=TEST, synthetic=synthetic, rng=np.random.default_rng(3), n_subsets=2
    )


def measure_peak(call: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "compute",
    [
        pytest.param(frechet.fit_gaussian, id="Gaussian"),
        pytest.param(lambda rows: compare_by(frechet.relative_distance, rows), id="Fréchet distance"),
        pytest.param(lambda rows: compare_by(prdc.relative_coverage, rows), id="coverage"),
        pytest.param(extrapolate, id="extrapolated distance"),
        pytest.param(measure_kernel_distance, id="kernel distance"),
        pytest.param(lambda rows: find_nearest(queries=rows, references=TRAIN), id="nearest films"),
    ],
)
def test_memory_grows_by_less_than_the_features_of_the_images(compute: Callable[[Float32], object]) -> None:
    """More images need no copy of their features; a quarter of one is for weights and indices."""
    small, large = draw_rows(SMALL, 4), draw_rows(LARGE, 5)
    compute(small)  # what is imported or allocated once
    growth = measure_peak(lambda: compute(large)) - measure_peak(lambda: compute(small))
    assert growth < 0.25 * (large.nbytes - small.nbytes)


def test_a_gaussian_of_many_rows_equals_numpys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of rows are summed up to the mean and the covariance of all rows, also with weights."""
    monkeypatch.setattr(frechet, "_ROWS_PER_BLOCK", 200)
    rows = draw_rows(1001, 6).astype(np.float64)
    counts = np.random.default_rng(7).integers(0, 3, size=len(rows))
    for weights, expected in ((None, rows), (counts.astype(float), np.repeat(rows, counts, axis=0))):
        gaussian = frechet.fit_gaussian(rows, weights=weights)
        np.testing.assert_allclose(gaussian.mean, expected.mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(gaussian.factor.T @ gaussian.factor, np.cov(expected, rowvar=False), atol=1e-12)
