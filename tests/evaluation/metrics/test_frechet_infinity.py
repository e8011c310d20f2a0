from __future__ import annotations

import numpy as np
import pytest

from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import frechet, frechet_infinity
from synthcxr.evaluation.metrics.frechet_infinity import ExtrapolatedDistance

D = 32


def draw_features(n: int, *, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, D)) + shift


def extrapolate(real: np.ndarray, synthetic: np.ndarray, seed: int = 0) -> ExtrapolatedDistance:
    return frechet_infinity.frechet_infinity(
        real=frechet.fit_gaussian(real), synthetic=synthetic, rng=np.random.default_rng(seed), n_repeats=12
    )


def test_the_intercept_is_closer_to_the_truth_than_the_distance_at_n() -> None:
    """The true distance is the squared shift, 0.32; 300 images and many films overestimate it, the intercept less."""
    real, synthetic = draw_features(60_000, seed=1), draw_features(300, seed=2, shift=0.1)
    extrapolated = extrapolate(real, synthetic)
    distance = frechet.frechet_distance(real=real, synthetic=synthetic)
    assert distance > 1.5 * 0.32
    assert abs(extrapolated.value - 0.32) < 0.4 * (distance - 0.32)


def test_the_intercept_does_not_depend_on_n() -> None:
    """A quarter of the images gives almost the same value, although the distances differ."""
    real = draw_features(20_000, seed=1)
    value_of_few, value_of_many = (extrapolate(real, draw_features(n, seed=n, shift=0.3)).value for n in (250, 1000))
    assert value_of_few == pytest.approx(value_of_many, rel=0.1)


def test_sizes_are_evenly_spaced_in_one_over_n() -> None:
    """The sizes go from a quarter of the images to all of them; the interval contains the value."""
    extrapolated = extrapolate(draw_features(500, seed=1), draw_features(400, seed=2))
    steps = np.diff([1 / n for n in extrapolated.at])
    assert (min(extrapolated.at), max(extrapolated.at)) == (100, 400)
    np.testing.assert_allclose(steps, steps.mean(), rtol=0.15)
    assert extrapolated.interval[0] <= extrapolated.value <= extrapolated.interval[1]


def test_few_images_are_an_error() -> None:
    """A line through values at fewer than 50 images has no meaning."""
    with pytest.raises(DataError, match="99 images are too few to extrapolate from; at least 100 are necessary"):
        extrapolate(draw_features(500, seed=1), draw_features(99, seed=2))
