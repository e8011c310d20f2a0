from __future__ import annotations

import numpy as np
import pytest

from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import frechet, frechet_infinity

D = 32


def cloud(n: int, *, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, D)) + shift


def at_infinity(real: np.ndarray, synthetic: np.ndarray, seed: int = 0) -> frechet_infinity.Infinity:
    return frechet_infinity.frechet_infinity(
        real=frechet.fitted(real), synthetic=synthetic, rng=np.random.default_rng(seed), n_repeats=12
    )


def test_it_is_nearer_to_the_truth_than_the_distance_at_n() -> None:
    """The true distance is the squared shift, 0.32: 300 images against many films overstate it, the intercept not."""
    real, synthetic = cloud(60_000, seed=1), cloud(300, seed=2, shift=0.1)
    found = at_infinity(real, synthetic)
    plain = frechet.frechet_distance(real=real, synthetic=synthetic)
    assert plain > 1.5 * 0.32
    assert abs(found.value - 0.32) < 0.4 * (plain - 0.32)


def test_it_does_not_depend_on_n() -> None:
    """A quarter of the images gives nearly the same value, where the plain distances differ."""
    real = cloud(20_000, seed=1)
    few, many = (at_infinity(real, cloud(n, seed=n, shift=0.3)).value for n in (250, 1000))
    assert few == pytest.approx(many, rel=0.1)


def test_points_are_evenly_spaced_in_one_over_n() -> None:
    """From a quarter of the images to all of them; the interval holds the value."""
    found = at_infinity(cloud(500, seed=1), cloud(400, seed=2))
    steps = np.diff([1 / n for n in found.at])
    assert (min(found.at), max(found.at)) == (100, 400)
    np.testing.assert_allclose(steps, steps.mean(), rtol=0.15)
    assert found.interval[0] <= found.value <= found.interval[1]


def test_few_images_are_refused() -> None:
    """A line through values at fewer than 50 images says nothing."""
    with pytest.raises(DataError, match="99 images are too few to extrapolate from; 100 are needed"):
        at_infinity(cloud(500, seed=1), cloud(99, seed=2))
