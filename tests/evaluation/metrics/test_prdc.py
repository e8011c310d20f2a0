from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import prdc
from synthcxr.evaluation.metrics.prdc import Coverage


def cloud(n: int, d: int = 8, *, seed: int, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    return scale * np.random.default_rng(seed).standard_normal((n, d)) + shift


def relative(train: np.ndarray, test: np.ndarray, synthetic: np.ndarray, *, draws: int = 60, seed: int = 0) -> Coverage:
    return prdc.relative_coverage(
        train=train,
        test=test,
        synthetic=synthetic,
        test_patients=np.array([f"t{i // 2}" for i in range(len(test))], dtype=object),
        train_patients=np.array([f"l{i // 2}" for i in range(len(train))], dtype=object),
        n_bootstrap=draws,
        rng=np.random.default_rng(seed),
    )


@pytest.mark.parametrize(
    ("n", "m", "scale", "shift", "k"), [(80, 120, 1.0, 0.3, 5), (150, 60, 0.4, 0.0, 3), (60, 60, 2.0, 1.0, 5)]
)
def test_the_four_are_those_of_the_authors_code(n: int, m: int, scale: float, shift: float, k: int) -> None:
    """Equal to `prdc` of Naeem et al. from PyPI on the same features, to rounding."""
    authors = pytest.importorskip("prdc")
    real, synthetic = cloud(n, seed=1), cloud(m, seed=2, scale=scale, shift=shift)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = authors.compute_prdc(real_features=real, fake_features=synthetic, nearest_k=k)
    ours = prdc.prdc(real=real, synthetic=synthetic, k=k)
    assert vars(ours) == pytest.approx(theirs, rel=1e-12)


def test_extremes() -> None:
    """The same rows are wholly precise and covered; rows far away are neither and recall nothing."""
    real = cloud(60, seed=1)
    same = prdc.prdc(real=real, synthetic=real)
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
    far = prdc.prdc(real=real, synthetic=cloud(60, seed=2, shift=50))
    assert (far.precision, far.recall, far.density, far.coverage) == (0, 0, 0, 0)


def test_one_image_repeated_is_precise_and_covers_next_to_nothing() -> None:
    """What a collapsed generator gives: precision sees no fault, coverage does."""
    real = cloud(100, seed=1)
    collapsed = real.mean(axis=0) + cloud(100, seed=2, scale=1e-3)
    found = prdc.prdc(real=real, synthetic=collapsed)
    assert found.precision == 1
    assert found.coverage < 0.5
    assert found.recall < 0.05


def test_relative_coverage_of_as_good_images_is_one() -> None:
    """Fresh rows of the films' own distribution cover as many test films as training films do; the interval says so."""
    found = relative(cloud(200, seed=1), cloud(120, seed=2), cloud(200, seed=3))
    assert found.relative == pytest.approx(1, abs=0.1)
    assert found.relative_interval is not None
    assert found.relative_interval[0] < 1 < found.relative_interval[1]
    assert (found.n, found.n_test, found.k) == (200, 120, 5)


def test_half_of_the_films_kinds_missing_halves_it() -> None:
    """Images of one of two equally frequent kinds cover half of what films cover, and the interval excludes 1."""
    kinds = [np.r_[cloud(n, seed=s), cloud(n, seed=s + 1, shift=30)] for n, s in ((100, 1), (60, 3))]
    found = relative(kinds[0], kinds[1], cloud(200, seed=9))
    assert found.relative == pytest.approx(0.5, abs=0.08)
    assert found.relative_interval is not None
    assert found.relative_interval[1] < 0.8


def test_both_sides_have_the_same_n() -> None:
    """Fewer images than films: as many films are drawn; more: the first images are taken."""
    train, test = cloud(90, seed=1), cloud(60, seed=2)
    assert relative(train, test, cloud(40, seed=3)).n == 40
    many = cloud(200, seed=3)
    assert relative(train, test, many).synthetic == prdc.prdc(real=test, synthetic=many[:90])


def test_nothing_covered_by_films_gives_no_ratio() -> None:
    """A ratio to nothing is not a number: it is left out."""
    found = relative(cloud(60, seed=1, shift=80), cloud(60, seed=2), cloud(60, seed=3))
    assert found.training.coverage == 0
    assert found.relative is None
    assert found.relative_interval is None


def test_nothing_covered_has_a_width() -> None:
    """No test film near an image: coverage 0 of 60 films of 30 patients is an interval, and so is the ratio."""
    found = relative(cloud(60, seed=1), cloud(60, seed=2), cloud(60, seed=3, shift=80))
    assert found.relative == 0
    assert found.coverage_interval == pytest.approx((0, 0.1135), abs=1e-3)
    assert found.relative_interval is not None
    assert found.relative_interval[1] > found.coverage_interval[1]


def test_few_rows_are_refused() -> None:
    """k neighbours need more than k rows."""
    with pytest.raises(DataError, match="more than 5 films and images, found 5, 60"):
        prdc.prdc(real=cloud(5, seed=1), synthetic=cloud(60, seed=2))
