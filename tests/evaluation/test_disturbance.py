from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from synthcxr.data import images
from synthcxr.evaluation import disturbance
from synthcxr.evaluation.disturbance import DISTURBANCES, disturb_image

SIDE = 64


def draw_film(seed: int = 1, side: int = SIDE) -> np.ndarray:
    """A smooth uint8 image that uses most of its range."""
    smooth = gaussian_filter(np.random.default_rng(seed).standard_normal((side, side)), side / 16)
    return images.quantise((0.5 + 0.15 * smooth / smooth.std()).astype(np.float32))


def make_rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", DISTURBANCES)
def test_the_first_level_changes_nothing(name: str) -> None:
    """Level 0 of every disturbance changes no pixel."""
    assert DISTURBANCES[name].levels[0] == 0
    np.testing.assert_array_equal(disturb_image(name, draw_film(), 0.0, make_rng()), draw_film())


@pytest.mark.parametrize("name", DISTURBANCES)
def test_every_level_changes_films_more(name: str) -> None:
    """Over thirty films the mean squared change grows with every level; the same stream gives the same image."""
    changes = []
    for level in DISTURBANCES[name].levels:
        pairs = [(draw_film(seed), disturb_image(name, draw_film(seed), level, make_rng(seed))) for seed in range(30)]
        changes.append(np.mean([((a.astype(float) - b) ** 2).mean() for a, b in pairs]))
        np.testing.assert_array_equal(
            disturb_image(name, draw_film(), level, make_rng()), disturb_image(name, draw_film(), level, make_rng())
        )
    assert changes == sorted(changes)
    assert len(set(changes)) == 4


def test_levels_equal_those_of_the_protocol() -> None:
    """Six disturbances at four levels each, which Heusel et al. applied to faces."""
    assert {name: rule.levels for name, rule in DISTURBANCES.items()} == {
        "gaussian noise": (0, 0.25, 0.5, 0.75),
        "gaussian blur": (0, 1, 2, 4),
        "black rectangles": (0, 0.25, 0.5, 0.75),
        "swirl": (0, 1, 2, 4),
        "salt and pepper": (0, 0.1, 0.2, 0.3),
        "contamination": (0, 0.25, 0.5, 0.75),
    }


def test_noise_is_mixed_with_the_image() -> None:
    """At a = 1/2 a grey image keeps half of its difference from mid-grey; the spread is a / 6 of the range."""
    bright = np.full((256, 256), 0.7, np.float32)
    noisy = disturbance.add_noise(bright, 0.5, make_rng())
    assert noisy.mean() == pytest.approx(0.6, abs=0.002)
    assert noisy.std() == pytest.approx(0.5 / 6, rel=0.03)


def test_blur_scales_with_the_side_of_the_image() -> None:
    """Blurring at 128 px before halving, or after it, gives almost the same image."""
    large = draw_film(side=128).astype(np.float32) / 255
    reduced = images.resize(disturbance.blur(large, 2.0, make_rng()), 64)
    np.testing.assert_allclose(reduced, disturbance.blur(images.resize(large, 64), 2.0, make_rng()), atol=0.02)


@pytest.mark.parametrize(("a", "smallest_share"), [(0.25, 1 / 16), (0.75, 9 / 16)])
def test_rectangles_cover_between_one_and_five_squares(a: float, smallest_share: float) -> None:
    """The area that is black in a white image is that of one to five squares."""
    white = np.ones((64, 64), np.float32)
    dark_share = (disturbance.cover_with_rectangles(white, a, make_rng()) == 0).mean()
    assert smallest_share < dark_share <= min(1.0, 5 * smallest_share)


def test_swirl_changes_the_centre_and_not_the_corners() -> None:
    """The centre changes much and the corners hardly."""
    unit = draw_film().astype(np.float32) / 255
    swirled = disturbance.swirl(unit, 4.0, make_rng())
    np.testing.assert_allclose(swirled[:4, :4], unit[:4, :4], atol=0.06)
    assert np.abs(swirled[20:44, 20:44] - unit[20:44, 20:44]).mean() > 2 * np.abs(swirled[:4] - unit[:4]).mean()


def test_salt_and_pepper_replaces_its_share_of_the_pixels() -> None:
    """At 0.3, 15 % of the pixels of a grey image are black and 15 % white."""
    noisy = disturbance.add_salt_and_pepper(np.full((256, 256), 0.5, np.float32), 0.3, make_rng())
    assert ((noisy == 0).mean(), (noisy == 1).mean()) == pytest.approx((0.15, 0.15), abs=0.01)


def test_contamination_replaces_a_growing_set_of_films() -> None:
    """The given share of films is replaced, and films that are replaced at one level are replaced at the next."""
    films = [draw_film(seed, side=8) for seed in range(300)]
    replaced = []
    for level in DISTURBANCES["contamination"].levels:
        disturbed = [disturb_image("contamination", film, level, make_rng(seed)) for seed, film in enumerate(films)]
        replaced.append(
            {i for i, (film, result) in enumerate(zip(films, disturbed, strict=True)) if (film != result).any()}
        )
    assert [len(indices) / 300 for indices in replaced] == pytest.approx([0, 0.25, 0.5, 0.75], abs=0.1)
    assert replaced[1] < replaced[2] < replaced[3]


def test_dead_leaves_are_flat_patches_with_sharp_edges() -> None:
    """Many neighbouring pixels are equal, and the grey levels cover the whole range."""
    image = disturbance.draw_dead_leaves(64, make_rng())
    flat = (np.abs(np.diff(image, axis=1)) == 0).mean()
    assert 0.3 < flat < 0.97
    assert image.min() < 0.2
    assert image.max() > 0.8
