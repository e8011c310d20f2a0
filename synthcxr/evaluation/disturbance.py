"""Six ways to disturb films, at four levels each: an honest distance grows with every one (Heusel et al., TTUR).

Every draw follows the random stream that is handed in, whatever the level, so that two levels of one image differ in
strength alone. Sizes are shares of the image's side, so that a level means the same at any resolution.
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
_BLUR_AT_PX = 64
_DISC_SHARES = (0.02, 0.5)

Apply = Callable[[Float32, float, np.random.Generator], Float32]


@dataclasses.dataclass(frozen=True)
class Disturbance:
    """What is done to an image in [0, 1], its levels from none on, and the rule in words."""

    levels: tuple[float, float, float, float]
    rule: str
    apply: Apply


def disturbed(name: str, pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """A film uint8 [R, R] under one of DISTURBANCES; at its first level it is the film as it was."""
    unit = pixels.astype(np.float32) / np.float32(255)
    return images.quantise(DISTURBANCES[name].apply(unit, level, rng).astype(np.float32))


def noise(unit: Float32, a: float, rng: np.random.Generator) -> Float32:
    """(1 - a) X + a N."""
    grain = np.clip(0.5 + _NOISE_SPREAD * rng.standard_normal(unit.shape), 0, 1)
    return np.asarray((1 - a) * unit + a * grain, dtype=np.float32)


def blur(unit: Float32, sigma: float, _: np.random.Generator) -> Float32:
    """A Gaussian of `sigma` pixels at 64 px, and of as large a share of the side at any other."""
    return np.asarray(gaussian_filter(unit, sigma * unit.shape[0] / _BLUR_AT_PX, mode="nearest"))


def rectangles(unit: Float32, a: float, rng: np.random.Generator) -> Float32:
    """Five black squares of side `a`, each wholly inside at a random place."""
    corners, covered = rng.random((N_RECTANGLES, 2)), unit.copy()
    width = round(a * unit.shape[0])
    for down, right in np.rint(corners * (unit.shape[0] - width)).astype(int):
        covered[down : down + width, right : right + width] = 0
    return covered


def swirl(unit: Float32, strength: float, _: np.random.Generator) -> Float32:
    """A turn about the centre by `strength` radians there, dying off to a thirty-second at half the side."""
    side = unit.shape[0]
    y, x = np.mgrid[0:side, 0:side] - (side - 1) / 2
    radius = np.hypot(x, y)
    angle = np.arctan2(y, x) + strength * np.exp2(-5 * radius / (side / 2))
    places = [radius * np.sin(angle) + (side - 1) / 2, radius * np.cos(angle) + (side - 1) / 2]
    return np.asarray(map_coordinates(unit, places, order=1, mode="nearest"), dtype=np.float32)


def salt_and_pepper(unit: Float32, fraction: float, rng: np.random.Generator) -> Float32:
    """This share of the pixels white or black, one as likely as the other."""
    struck, white = rng.random(unit.shape) < fraction, rng.random(unit.shape) < 0.5
    return np.where(struck, white.astype(np.float32), unit)


def contamination(unit: Float32, fraction: float, rng: np.random.Generator) -> Float32:
    """With this probability another kind of image instead: `dead_leaves`."""
    return dead_leaves(unit.shape[0], rng) if rng.random() < fraction else unit


def dead_leaves(side: int, rng: np.random.Generator) -> Float32:
    """A picture of no patient, [side, side]: grey discs thrown on each other, many small, few large.

    It has the edges, occlusion and power-law sizes of ordinary photographs (Lee, Mumford, Huang, IJCV 41, 2001).
    """
    least, largest = _DISC_SHARES
    radii = side * (least**-2 + rng.random(N_DISCS) * (largest**-2 - least**-2)) ** -0.5  # density falls with r^3
    centres, greys = rng.random((N_DISCS, 2)) * side, rng.random(N_DISCS)
    y, x = np.mgrid[0:side, 0:side]
    made = np.full((side, side), rng.random(), dtype=np.float32)
    for radius, (down, right), grey in zip(radii, centres, greys, strict=True):
        made[(y - down) ** 2 + (x - right) ** 2 < radius**2] = grey
    return made


_QUARTERS = (0.0, 0.25, 0.5, 0.75)
DISTURBANCES = {
    "gaussian noise": Disturbance(_QUARTERS, "(1 - a) X + a N, N of mean 1/2 and spread 1/6 of the range", noise),
    "gaussian blur": Disturbance((0.0, 1.0, 2.0, 4.0), "sigma in pixels at 64 px, scaled with the side", blur),
    "black rectangles": Disturbance(_QUARTERS, "five black squares of this share of the side", rectangles),
    "swirl": Disturbance((0.0, 1.0, 2.0, 4.0), "turn in radians at the centre, 1/32 of it at half the side", swirl),
    "salt and pepper": Disturbance((0.0, 0.1, 0.2, 0.3), "share of pixels white or black", salt_and_pepper),
    "contamination": Disturbance(
        _QUARTERS, "share of films replaced by dead leaves: discs of power-law sizes on each other", contamination
    ),
}
