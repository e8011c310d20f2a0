from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import prdc
from synthcxr.evaluation.metrics.prdc import RelativeCoverage


def draw_features(n: int, d: int = 8, *, seed: int, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    return scale * np.random.default_rng(seed).standard_normal((n, d)) + shift


def compare(train: np.ndarray, test: np.ndarray, synthetic: np.ndarray) -> RelativeCoverage:
    """The comparison with two films for each patient."""
    return prdc.relative_coverage(
        train=train,
        test=test,
        synthetic=synthetic,
        test_patients=np.array([f"t{i // 2}" for i in range(len(test))], dtype=object),
        train_patients=np.array([f"l{i // 2}" for i in range(len(train))], dtype=object),
        n_bootstrap=60,
        rng=np.random.default_rng(0),
    )


@pytest.mark.parametrize(
    ("n", "m", "scale", "shift", "k"), [(80, 120, 1.0, 0.3, 5), (150, 60, 0.4, 0.0, 3), (60, 60, 2.0, 1.0, 5)]
)
def test_metrics_equal_the_authors_code(n: int, m: int, scale: float, shift: float, k: int) -> None:
    """On the same features all four metrics equal `prdc` of Naeem et al. from PyPI, up to rounding."""
    reference = pytest.importorskip("prdc")
    real, synthetic = draw_features(n, seed=1), draw_features(m, seed=2, scale=scale, shift=shift)
    with contextlib.redirect_stdout(io.StringIO()):
        expected = reference.compute_prdc(real_features=real, fake_features=synthetic, nearest_k=k)
    assert vars(prdc.prdc(real=real, synthetic=synthetic, k=k)) == pytest.approx(expected, rel=1e-12)


def test_metrics_of_equal_and_of_distant_features() -> None:
    """Equal rows have precision, recall and coverage 1; for distant rows all four metrics are 0."""
    real = draw_features(60, seed=1)
    equal = prdc.prdc(real=real, synthetic=real)
    assert (equal.precision, equal.recall, equal.coverage) == (1, 1, 1)
    distant = prdc.prdc(real=real, synthetic=draw_features(60, seed=2, shift=50))
    assert (distant.precision, distant.recall, distant.density, distant.coverage) == (0, 0, 0, 0)


def test_one_repeated_image_is_precise_and_covers_little() -> None:
    """For a collapsed generator the precision is 1, and coverage and recall are low."""
    real = draw_features(100, seed=1)
    collapsed = real.mean(axis=0) + draw_features(100, seed=2, scale=1e-3)
    metrics = prdc.prdc(real=real, synthetic=collapsed)
    assert metrics.precision == 1
    assert metrics.coverage < 0.5
    assert metrics.recall < 0.05


def test_images_from_the_distribution_of_the_films_have_a_relative_coverage_of_one() -> None:
    """New rows of the films' distribution cover as many test films as training films do; the interval contains 1."""
    comparison = compare(draw_features(200, seed=1), draw_features(120, seed=2), draw_features(200, seed=3))
    assert comparison.relative == pytest.approx(1, abs=0.1)
    assert comparison.relative_interval is not None
    assert comparison.relative_interval[0] < 1 < comparison.relative_interval[1]
    assert (comparison.n, comparison.n_test, comparison.k) == (200, 120, 5)


def test_images_of_one_of_two_kinds_have_half_the_coverage() -> None:
    """Images of one of two equally frequent kinds cover half as much as films, and the interval excludes 1."""
    train, test = (
        np.r_[draw_features(n, seed=seed), draw_features(n, seed=seed + 1, shift=30)] for n, seed in ((100, 1), (60, 3))
    )
    comparison = compare(train, test, draw_features(200, seed=9))
    assert comparison.relative == pytest.approx(0.5, abs=0.08)
    assert comparison.relative_interval is not None
    assert comparison.relative_interval[1] < 0.8


def test_both_sides_have_the_same_n() -> None:
    """With fewer images than films, as many films are drawn; with more, the first images are used."""
    train, test = draw_features(90, seed=1), draw_features(60, seed=2)
    assert compare(train, test, draw_features(40, seed=3)).n == 40
    many_images = draw_features(200, seed=3)
    assert compare(train, test, many_images).synthetic == prdc.prdc(real=test, synthetic=many_images[:90])


def test_without_coverage_by_training_films_there_is_no_ratio() -> None:
    """If the training films cover nothing, the ratio and its interval are None."""
    comparison = compare(draw_features(60, seed=1, shift=80), draw_features(60, seed=2), draw_features(60, seed=3))
    assert comparison.training.coverage == 0
    assert comparison.relative is None
    assert comparison.relative_interval is None


def test_a_coverage_of_zero_has_an_interval() -> None:
    """A coverage of 0 for films of 30 patients has an upper limit, and so has the ratio."""
    comparison = compare(draw_features(60, seed=1), draw_features(60, seed=2), draw_features(60, seed=3, shift=80))
    assert comparison.relative == 0
    assert comparison.coverage_interval == pytest.approx((0, 0.1135), abs=1e-3)
    assert comparison.relative_interval is not None
    assert comparison.relative_interval[1] > comparison.coverage_interval[1]


def test_too_few_rows_are_an_error() -> None:
    """k neighbours need more than k rows."""
    with pytest.raises(DataError, match="more than 5 films and images, got 5 and 60"):
        prdc.prdc(real=draw_features(5, seed=1), synthetic=draw_features(60, seed=2))
