"""Draws a chest: edges are analytic and never sharper than a pixel, so that every resolution shows the same film."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthcxr.readers.phantom_anatomy import Anatomy, Pair

Float32 = NDArray[np.float32]
Plane = NDArray[np.floating[Any]]


@dataclasses.dataclass(frozen=True)
class Canvas:
    """The film's plane: coordinates [R, R] in the patient's frame and the outlines of lungs and heart in them.

    `out` is the distance from the midline; `left` 0 on the patient's right, 1 on the left, soft across the midline;
    `lateral` and `floor` the lungs' outer and lower border there; `depth` how far inside the lung a point lies
    (negative outside), `lung` its soft mask; `heart` the same distance for the heart. `pixel` is a pixel's side.
    """

    anatomy: Anatomy
    pixel: float
    x: Plane
    y: Plane
    out: Plane
    left: Plane
    lateral: Plane
    floor: Plane
    depth: Plane
    lung: Plane
    heart: Plane


@dataclasses.dataclass
class Layers:
    """What is summed into a film: attenuation, and the factor on the lungs' vascular markings, both [R, R]."""

    density: Plane
    markings: Plane


def canvas(anatomy: Anatomy, resolution: int) -> Canvas:
    """The plane of a film of `resolution` pixels a side, posed as the anatomy says."""
    pixel = 2 / resolution / anatomy.scale
    x, y = _pose(anatomy, resolution)
    middle = x - anatomy.shift
    out = np.abs(middle)
    left = np.clip(middle / 0.16 + 0.5, 0, 1)
    lateral = _lateral(anatomy, y)
    floor = blend(anatomy.diaphragm, left) - blend(anatomy.dome, left) * (1 - ((out - 0.36) / 0.42) ** 2)
    medial = anatomy.mediastinum + 0.5 * np.clip(-0.38 - y, 0, 1) ** 1.5
    walls = _rounded(lateral - out, out - medial)
    depth = np.minimum(walls, (floor - y) * np.float32(0.9))
    return Canvas(
        anatomy=anatomy,
        pixel=pixel,
        x=x,
        y=y,
        out=out,
        left=left,
        lateral=lateral,
        floor=floor,
        depth=depth,
        lung=inside(depth, 0.02, pixel),
        heart=_heart(anatomy, x, y),
    )


def _pose(anatomy: Anatomy, resolution: int) -> tuple[Plane, Plane]:
    """Pixel centres in the patient's frame: moved, turned, scaled, the spine bent."""
    centres = (np.arange(resolution, dtype=np.float32) + np.float32(0.5)) * np.float32(2 / resolution) - np.float32(1)
    x, y = centres[None, :] - np.float32(anatomy.offset[0]), centres[:, None] - np.float32(anatomy.offset[1])
    cosine, sine = np.float32(np.cos(anatomy.rotation)), np.float32(np.sin(anatomy.rotation))
    across = (x * cosine + y * sine) / np.float32(anatomy.scale)
    down = (y * cosine - x * sine) / np.float32(anatomy.scale)
    return across - np.float32(anatomy.bend) * (1 - down * down), down


def _lateral(anatomy: Anatomy, y: Plane) -> Plane:
    """The lungs' outer border: an arch from the apex to the widest level, then nearly straight."""
    rise = np.clip((anatomy.widest - y) / (anatomy.widest - anatomy.apex), 0, 1)
    arch = np.float32(anatomy.thorax) * np.sqrt(1 - rise**2.6)
    border: Plane = arch + np.float32(0.03) * np.clip(y - anatomy.widest, 0, 1)
    return border


def _rounded(one: Plane, other: Plane) -> Plane:
    """The smaller of two distances, corners rounded."""
    gap = one - other
    rounded: Plane = np.float32(0.5) * (one + other - np.sqrt(gap * gap + np.float32(0.16**2)))
    return rounded


def _heart(anatomy: Anatomy, x: Plane, y: Plane) -> Plane:
    """Signed distance (positive inside) from ventricles, right atrium and pulmonary trunk together.

    The borders' distance from each other over the thorax's width is the cardiothoracic ratio.
    """
    width = 2 * anatomy.thorax * anatomy.cardiothoracic
    right, left = 0.34 * width, 0.66 * width
    size = left / 0.45
    base = (anatomy.diaphragm[0] + anatomy.diaphragm[1]) / 2 - 0.7 * anatomy.dome[1]
    middle = anatomy.shift
    ventricles = distance(x, y, (middle + 0.20 * left, base - 0.10 * size), (0.83 * left, 0.27 * size**0.6), 0.5)
    atrium = distance(x, y, (middle - right + 0.22, base - 0.16 * size), (0.22, 0.27 * size**0.5), 0.0)
    trunk = distance(x, y, (middle + 0.06, base - 0.38 * size**0.5), (0.16 * size**0.5, 0.24), -0.25)
    heart: Plane = np.maximum(np.maximum(ventricles, atrium), trunk)
    return heart


def blend(values: Pair, left: Plane) -> Plane:
    """The value of each point's side of the body, the sides joined softly at the midline."""
    blended: Plane = np.float32(values[0]) + np.float32(values[1] - values[0]) * left
    return blended


def inside(depth: Plane, soft: float, pixel: float) -> Plane:
    """Coverage from a signed distance (positive inside), its edge `soft` wide but at least a pixel."""
    coverage: Plane = np.clip(depth / max(soft, pixel) + 0.5, 0, 1)
    return coverage


def distance(x: Plane, y: Plane, centre: Pair, radii: Pair, tilt: float) -> Plane:
    """Signed distance (positive inside, near enough at the edge) from an ellipse tilted by `tilt` radians."""
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    cosine, sine = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
    reach = np.hypot((dx * cosine + dy * sine) / np.float32(radii[0]), (dy * cosine - dx * sine) / np.float32(radii[1]))
    signed: Plane = (1 - reach) * np.float32(min(radii))
    return signed


def ellipse(plane: Canvas, *, centre: Pair, radii: Pair) -> Plane:
    """Signed distance (positive inside) from an upright ellipse in the patient's frame."""
    return distance(plane.x, plane.y, centre, radii, 0.0)


def blob(plane: Canvas, *, centre: Pair, radii: Pair) -> Plane:
    """A Gaussian bump of height 1."""
    reach = ((plane.x - centre[0]) / radii[0]) ** 2 + ((plane.y - centre[1]) / radii[1]) ** 2
    bump: Plane = np.exp(-reach)
    return bump


def noise(rng: np.random.Generator, n: int, resolution: int) -> Plane:
    """Smooth unit noise [R, R] from an n x n lattice: the same field at every resolution."""
    lattice = rng.standard_normal((n, n), dtype=np.float32)
    if n == resolution:
        return lattice
    return np.asarray(Image.fromarray(lattice).resize((resolution, resolution), Image.Resampling.BICUBIC))


def chest(plane: Canvas) -> Layers:
    """A chest without findings: soft tissue, lungs, heart, vessels' room, bones."""
    density = _tissue(plane)
    density -= plane.anatomy.air * plane.lung * (1 - 0.55 * np.exp(-np.maximum(plane.depth, 0) / 0.10))
    density += _mediastinum(plane) + _bones(plane)
    return Layers(density, np.ones_like(density))


def _tissue(plane: Canvas) -> Plane:
    """Chest wall, shoulders and neck, what lies below the diaphragm, breasts and a gas bubble in the stomach."""
    anatomy, pixel = plane.anatomy, plane.pixel
    top = anatomy.apex - 0.62 + anatomy.shoulder * 1.6 * np.clip(plane.out - 0.2, 0, 1) ** 0.8
    neck_and_shoulders = inside(plane.y - top, 0.08, pixel)
    flank = anatomy.torso + 0.25 * np.clip(-plane.y - 0.15, 0, 1)
    body = neck_and_shoulders * inside(flank - plane.out, 0.05, pixel)
    round_off = 1 - np.exp(-np.clip(flank - plane.out + 0.03, 0, 2) / 0.14)
    density: Plane = body * round_off * (anatomy.tissue + 0.22 * plane.y)
    wall = np.clip((anatomy.thorax + 0.10 - plane.out) / 0.12, 0, 1)
    density += 0.85 * inside(plane.y - plane.floor, 0.03, pixel) * wall * body
    if anatomy.breast:
        fold = np.minimum(ellipse(plane, centre=(-0.42, 0.18), radii=(0.34, 0.36)), 0.08)
        fold = np.maximum(fold, np.minimum(ellipse(plane, centre=(0.42, 0.18), radii=(0.34, 0.36)), 0.08))
        density += anatomy.breast * inside(fold - 0.02, 0.05, pixel) * np.clip(plane.y + 0.3, 0, 1) * body
    if anatomy.gastric_bubble:
        centre = (0.38, anatomy.diaphragm[1] + 0.02)
        density -= anatomy.gastric_bubble * inside(ellipse(plane, centre=centre, radii=(0.15, 0.07)), 0.03, pixel)
    return density


def _mediastinum(plane: Canvas) -> Plane:
    """Great vessels, aortic knob, heart (its lower part hidden by the abdomen), hila, windpipe."""
    anatomy, pixel = plane.anatomy, plane.pixel
    above = 1 - 0.85 * inside(plane.y - plane.floor, 0.05, pixel)
    knob = ellipse(plane, centre=(0.10 + anatomy.shift, -0.30), radii=(anatomy.aorta, anatomy.aorta * 1.2))
    density = 0.36 * inside(anatomy.mediastinum * 0.95 - plane.out, 0.07, pixel) * above
    density += 0.24 * inside(knob, 0.03, pixel)
    density += inside(plane.heart, 0.03, pixel) * above * (0.46 + 0.30 * np.sqrt(np.clip(plane.heart / 0.27, 0, 1)))
    density += 0.12 * np.exp(-(((plane.out - 0.20) / 0.07) ** 2) - ((plane.y + 0.05) / 0.14) ** 2)
    windpipe = 0.036 - np.abs(plane.x - np.float32(0.5 * anatomy.shift))
    density -= 0.22 * inside(windpipe, 0.02, pixel) * inside(-0.27 - plane.y, 0.05, pixel)
    return density


def _bones(plane: Canvas) -> Plane:
    """Spine, ribs front and back, clavicles, shoulder blades."""
    anatomy, pixel = plane.anatomy, plane.pixel
    vertebrae = 0.20 + 0.05 * np.cos(plane.y * np.float32(2 * np.pi / 0.135) + 6 * anatomy.rib_phase)
    density: Plane = vertebrae * inside(0.085 - np.abs(plane.x), 0.035, pixel)
    cage = inside(plane.lateral + 0.05 - plane.out, 0.04, pixel) * inside(plane.y - anatomy.apex, 0.1, pixel)
    cage *= np.clip((anatomy.diaphragm[1] + 0.25 - plane.y) / 0.3, 0, 1)
    reach = plane.out / anatomy.thorax
    back = _bands(plane, plane.y - 0.22 * reach * reach, anatomy.rib_width)
    front = _bands(plane, plane.y - 0.22 - 0.42 * (anatomy.thorax - plane.out), anatomy.rib_width * 1.1)
    density += 0.13 * cage * (back * np.clip(plane.out / 0.08, 0, 1) + 0.55 * front * np.clip(reach * 2.2 - 0.9, 0, 1))
    collar = plane.y - (anatomy.apex + 0.26 - 0.26 * plane.out + 0.09 * np.sin(plane.out * 6.5))
    along = inside(plane.out - 0.09, 0.03, pixel) * inside(0.78 - plane.out, 0.06, pixel)
    density += 0.15 * along * inside(0.032 - np.abs(collar), 0.015, pixel)
    blade = (
        np.clip((plane.out - 0.50) / 0.06, 0, 1)
        * inside(0.06 - plane.y, 0.15, pixel)
        * inside(plane.y - anatomy.apex - 0.12, 0.1, pixel)
    )
    head = ((plane.out - 0.93) / 0.14) ** 2 + ((plane.y - anatomy.apex - 0.10) / 0.14) ** 2
    density += anatomy.scapula * blade + 0.16 * inside((1 - np.sqrt(head)) * 0.14, 0.03, pixel)
    density *= anatomy.bone
    return density


def _bands(plane: Canvas, level: Plane, half_width: float) -> Plane:
    """Every rib at once: bands a rib period apart in `level`."""
    period = plane.anatomy.rib_period
    turns = level / period + plane.anatomy.rib_phase
    away = np.abs(turns - np.rint(turns)) * period
    return inside(half_width - away, 0.015, plane.pixel)


def vessels(plane: Canvas, rng: np.random.Generator) -> Plane:
    """Vascular markings: winding streaks that fan out from each hilum and fade towards the chest wall."""
    phase = rng.uniform(0, 2 * np.pi, size=(3, 2)).tolist()
    dx, dy = plane.out - np.float32(0.12), plane.y + np.float32(0.04)
    radius = np.hypot(dx, dy)
    angle = np.arctan2(dy, dx)
    streaks = np.zeros_like(radius)
    for turns, wave, (right, left) in zip((9.0, 15.0, 23.0), (7.0, 11.0, 16.0), phase, strict=True):
        start = blend((right, left), plane.left)
        streaks += np.maximum(np.cos(turns * angle + 1.6 * np.sin(wave * radius + start) + start), 0)
    near_and_far = np.exp(-radius / 0.30) * radius / (radius + np.float32(0.10))
    behind_heart = 1 - 0.8 * inside(plane.heart, 0.06, plane.pixel)
    markings: Plane = plane.anatomy.vessels * 3.2 * plane.lung * near_and_far * behind_heart * streaks
    return markings


def develop(plane: Canvas, density: Plane, rng: np.random.Generator) -> Float32:
    """The film [R, R] in [0, 1] that an attenuation makes: exposure, side marker, grain from coarse to fine."""
    anatomy = plane.anatomy
    resolution = density.shape[0]
    marker = np.minimum(0.05 - np.abs(plane.x - anatomy.marker[0]), 0.07 - np.abs(plane.y - anatomy.marker[1]))
    notch = np.minimum(plane.x - anatomy.marker[0] + 0.02, anatomy.marker[1] + 0.04 - plane.y)
    film = 1 - np.exp(-np.maximum(density, 0.02))
    film = anatomy.gain * film**anatomy.gamma
    film += (0.95 - film) * inside(np.minimum(marker, -notch), 0.0, plane.pixel)
    n = 4
    while n <= resolution:
        film += anatomy.grain * (1.2 if n <= 8 else 0.8) * noise(rng, n, resolution) * (0.25 + film)
        n *= 2
    clipped: Float32 = np.clip(film, 0, 1).astype(np.float32, copy=False)
    return clipped
