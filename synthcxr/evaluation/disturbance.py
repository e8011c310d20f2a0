"""Six disturbances of films at four levels each, to test whether a distance grows with every level.

The disturbances follow Heusel et al., arXiv 1706.08500. All random numbers come from the stream that the caller passes
and do not depend on the level, so two levels of one image differ in strength only. Sizes are shares of the image's
side, so a level means the same at any resolution.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from synthcxr.data import images
from synthcxr.data.images import Float32, UInt8

N_RECTANGLES, N_DISCS = 5, 400
_NOISE_SPREAD = 1 / 6
_BLUR_REFERENCE_PX = 64
_DISC_SHARES = (0.02, 0.5)

DisturbFunction = Callable[[Float32, float, np.random.Generator], Float32]


@dataclasses.dataclass(frozen=True)
class Disturbance:
    """A function that disturbs an image in [0, 1], its levels (the first is none), and its rule in words."""

    levels: tuple[float, float, float, float]
    rule: str
    apply: DisturbFunction


def disturb_image(name: str, pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """Apply one of DISTURBANCES to an image uint8 [R, R]; level 0 changes nothing."""
    unit = pixels.astype(np.float32) / np.float32(255)
    return images.quantise(DISTURBANCES[name].apply(unit, level, rng).astype(np.float32))


def add_noise(unit: Float32, a: float, rng: np.random.Generator) -> Float32:
    """Mix the image X with noise N: (1 - a) X + a N."""
    noise = np.clip(0.5 + _NOISE_SPREAD * rng.standard_normal(unit.shape), 0, 1)
    return np.asarray((1 - a) * unit + a * noise, dtype=np.float32)


def blur(unit: Float32, sigma: float, _: np.random.Generator) -> Float32:
    """Blur with a Gaussian of `sigma` pixels at 64 px, scaled with the side of the image."""
    return np.asarray(gaussian_filter(unit, sigma * unit.shape[0] / _BLUR_REFERENCE_PX, mode="nearest"))


def cover_with_rectangles(unit: Float32, a: float, rng: np.random.Generator) -> Float32:
    """Draw five black squares with side `a` at random positions inside the image."""
    corners, covered = rng.random((N_RECTANGLES, 2)), unit.copy()
    width = round(a * unit.shape[0])
    for down, right in np.rint(corners * (unit.shape[0] - width)).astype(int):
        covered[down : down + width, right : right + width] = 0
    return covered


def swirl(unit: Float32, strength: float, _: np.random.Generator) -> Float32:
    """Rotate around the centre by `strength` radians, which decreases to 1/32 of it at half the side."""
    side = unit.shape[0]
    y, x = np.mgrid[0:side, 0:side] - (side - 1) / 2
    radius = np.hypot(x, y)
    angle = np.arctan2(y, x) + strength * np.exp2(-5 * radius / (side / 2))
    coordinates = [radius * np.sin(angle) + (side - 1) / 2, radius * np.cos(angle) + (side - 1) / 2]
    return np.asarray(map_coordinates(unit, coordinates, order=1, mode="nearest"), dtype=np.float32)


def add_salt_and_pepper(unit: Float32, fraction: float, rng: np.random.Generator) -> Float32:
    """Make this share of the pixels white or black, with equal probability."""
    is_replaced, is_white = rng.random(unit.shape) < fraction, rng.random(unit.shape) < 0.5
    return np.where(is_replaced, is_white.astype(np.float32), unit)


def contaminate(unit: Float32, fraction: float, rng: np.random.Generator) -> Float32:
    """With this probability replace the image by another kind of image, from `draw_dead_leaves`."""
    return draw_dead_leaves(unit.shape[0], rng) if rng.random() < fraction else unit


def draw_dead_leaves(side: int, rng: np.random.Generator) -> Float32:
    """Draw an image [side, side] that is not a film: overlapping grey discs, many small and few large.

    Its edges, occlusion and power-law sizes are those of ordinary photographs (Lee, Mumford, Huang, IJCV 41, 2001).
    """
    smallest, largest = _DISC_SHARES
    radii = side * (smallest**-2 + rng.random(N_DISCS) * (largest**-2 - smallest**-2)) ** -0.5  # density ~ r^-3
    centres, greys = rng.random((N_DISCS, 2)) * side, rng.random(N_DISCS)
    y, x = np.mgrid[0:side, 0:side]
    image = np.full((side, side), rng.random(), dtype=np.float32)
    for radius, (down, right), grey in zip(radii, centres, greys, strict=True):
        image[(y - down) ** 2 + (x - right) ** 2 < radius**2] = grey
    return image


_QUARTERS = (0.0, 0.25, 0.5, 0.75)
DISTURBANCES = {
    "gaussian noise": Disturbance(_QUARTERS, "(1 - a) X + a N, N of mean 1/2 and spread 1/6 of the range", add_noise),
    "gaussian blur": Disturbance((0.0, 1.0, 2.0, 4.0), "sigma in pixels at 64 px, scaled with the side", blur),
    "black rectangles": Disturbance(_QUARTERS, "five black squares of this share of the side", cover_with_rectangles),
    "swirl": Disturbance((0.0, 1.0, 2.0, 4.0), "turn in radians at the centre, 1/32 of it at half the side", swirl),
    "salt and pepper": Disturbance((0.0, 0.1, 0.2, 0.3), "share of pixels white or black", add_salt_and_pepper),
    "contamination": Disturbance(
        _QUARTERS, "share of films replaced by dead leaves: discs of power-law sizes on each other", contaminate
    ),
}
"""The rules are part of the cache key of features, so a changed wording computes them again."""
