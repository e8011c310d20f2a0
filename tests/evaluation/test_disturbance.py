from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from synthcxr.data import images
from synthcxr.evaluation import disturbance
from synthcxr.evaluation.disturbance import DISTURBANCES, disturbed

SIDE = 64


def film(seed: int = 1, side: int = SIDE) -> np.ndarray:
    """A soft uint8 picture that uses most of its range."""
    soft = gaussian_filter(np.random.default_rng(seed).standard_normal((side, side)), side / 16)
    return images.quantise((0.5 + 0.15 * soft / soft.std()).astype(np.float32))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", DISTURBANCES)
def test_the_first_level_is_the_film(name: str) -> None:
    """Level 0 changes no pixel."""
    assert DISTURBANCES[name].levels[0] == 0
    np.testing.assert_array_equal(disturbed(name, film(), 0.0, rng()), film())


@pytest.mark.parametrize("name", DISTURBANCES)
def test_each_level_leaves_less_of_the_film(name: str) -> None:
    """Over thirty films the mean squared change grows from level to level, and the same stream gives the same."""
    change = []
    for level in DISTURBANCES[name].levels:
        pairs = [(film(at), disturbed(name, film(at), level, rng(at))) for at in range(30)]
        change.append(np.mean([((a.astype(float) - b) ** 2).mean() for a, b in pairs]))
        np.testing.assert_array_equal(disturbed(name, film(), level, rng()), disturbed(name, film(), level, rng()))
    assert change == sorted(change)
    assert len(set(change)) == 4


def test_levels_are_those_of_the_protocol() -> None:
    """Six disturbances at four levels, as Heusel et al. used them on faces."""
    assert {name: held.levels for name, held in DISTURBANCES.items()} == {
        "gaussian noise": (0, 0.25, 0.5, 0.75),
        "gaussian blur": (0, 1, 2, 4),
        "black rectangles": (0, 0.25, 0.5, 0.75),
        "swirl": (0, 1, 2, 4),
        "salt and pepper": (0, 0.1, 0.2, 0.3),
        "contamination": (0, 0.25, 0.5, 0.75),
    }


def test_noise_mixes_and_keeps_the_mean_of_grey() -> None:
    """A grey square at a = 1/2 keeps half of its distance from mid-grey; the spread is a / 6 of the range."""
    bright = np.full((256, 256), 0.7, np.float32)
    made = disturbance.noise(bright, 0.5, rng())
    assert made.mean() == pytest.approx(0.6, abs=0.002)
    assert made.std() == pytest.approx(0.5 / 6, rel=0.03)


def test_blur_scales_with_the_side() -> None:
    """Blurred at 128 px and halved, or halved and blurred: nearly the same picture."""
    large = film(side=128).astype(np.float32) / 255
    halved = images.resize(disturbance.blur(large, 2.0, rng()), 64)
    np.testing.assert_allclose(halved, disturbance.blur(images.resize(large, 64), 2.0, rng()), atol=0.02)


@pytest.mark.parametrize(("a", "least"), [(0.25, 1 / 16), (0.75, 9 / 16)])
def test_rectangles_are_black_squares_of_the_side(a: float, least: float) -> None:
    """Between one and five squares' worth of a white picture is black, at places that follow the stream."""
    white = np.ones((64, 64), np.float32)
    dark = (disturbance.rectangles(white, a, rng()) == 0).mean()
    assert least < dark <= min(1.0, 5 * least)


def test_swirl_turns_the_centre_and_spares_the_corners() -> None:
    """The middle is another picture, corners are next to what they were."""
    unit = film().astype(np.float32) / 255
    turned = disturbance.swirl(unit, 4.0, rng())
    np.testing.assert_allclose(turned[:4, :4], unit[:4, :4], atol=0.06)
    assert np.abs(turned[20:44, 20:44] - unit[20:44, 20:44]).mean() > 2 * np.abs(turned[:4] - unit[:4]).mean()


def test_salt_and_pepper_strikes_its_share() -> None:
    """Three pixels in ten of a grey picture are black or white, as many of each."""
    made = disturbance.salt_and_pepper(np.full((256, 256), 0.5, np.float32), 0.3, rng())
    assert ((made == 0).mean(), (made == 1).mean()) == pytest.approx((0.15, 0.15), abs=0.01)


def test_contamination_replaces_whole_films_and_goes_on_replacing_them() -> None:
    """About the asked share of films is another picture, and what is replaced at one level is so at the next."""
    squares = [film(at, side=8) for at in range(300)]
    replaced = [
        {at for at, each in enumerate(squares) if (disturbed("contamination", each, level, rng(at)) != each).any()}
        for level in DISTURBANCES["contamination"].levels
    ]
    assert [len(each) / 300 for each in replaced] == pytest.approx([0, 0.25, 0.5, 0.75], abs=0.1)
    assert replaced[1] < replaced[2] < replaced[3]


def test_dead_leaves_are_no_film() -> None:
    """Flat patches with sharp edges, small and large, over the whole range of greys."""
    made = disturbance.dead_leaves(64, rng())
    flat = (np.abs(np.diff(made, axis=1)) == 0).mean()
    assert 0.3 < flat < 0.97
    assert made.min() < 0.2
    assert made.max() > 0.8
