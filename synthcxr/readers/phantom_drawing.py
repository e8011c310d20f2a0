"""Draw a chest. Edges are analytic and never sharper than a pixel, so every resolution shows the same film."""

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
    """The plane of the film: coordinates [R, R] in the patient's frame, and the outlines of lungs and heart.

    `pixel_size` is the side of a pixel in the patient's frame. `left_weight` is 0 on the patient's right and 1 on the
    left, with a soft transition at the midline. `outer_border` and `lower_border` are the borders of the lung on each
    point's side. `lung_depth` and `heart_depth` are signed distances from the border (positive inside), and `lung_mask`
    is a soft mask.
    """

    anatomy: Anatomy
    pixel_size: float
    x: Plane
    y: Plane
    midline_distance: Plane
    left_weight: Plane
    outer_border: Plane
    lower_border: Plane
    lung_depth: Plane
    lung_mask: Plane
    heart_depth: Plane


@dataclasses.dataclass
class Layers:
    """The layers of a film: attenuation, and the factor on the vascular markings of the lungs, both [R, R]."""

    density: Plane
    markings: Plane


def build_canvas(anatomy: Anatomy, resolution: int) -> Canvas:
    """Build the plane of a film of `resolution` x `resolution` pixels in the pose of the anatomy."""
    pixel_size = 2 / resolution / anatomy.scale
    x, y = _compute_pixel_centres(anatomy, resolution)
    centred_x = x - anatomy.mediastinal_shift
    midline_distance = np.abs(centred_x)
    left_weight = np.clip(centred_x / 0.16 + 0.5, 0, 1)
    outer_border = _compute_outer_border(anatomy, y)
    dome_height = blend_sides(anatomy.dome, left_weight) * (1 - ((midline_distance - 0.36) / 0.42) ** 2)
    lower_border = blend_sides(anatomy.diaphragm, left_weight) - dome_height
    medial_border = anatomy.mediastinum_half_width + 0.5 * np.clip(-0.38 - y, 0, 1) ** 1.5
    side_distance = _smooth_minimum(outer_border - midline_distance, midline_distance - medial_border)
    lung_depth = np.minimum(side_distance, (lower_border - y) * np.float32(0.9))
    return Canvas(
        anatomy=anatomy,
        pixel_size=pixel_size,
        x=x,
        y=y,
        midline_distance=midline_distance,
        left_weight=left_weight,
        outer_border=outer_border,
        lower_border=lower_border,
        lung_depth=lung_depth,
        lung_mask=soft_mask(lung_depth, 0.02, pixel_size),
        heart_depth=_compute_heart_depth(anatomy, x, y),
    )


def _compute_pixel_centres(anatomy: Anatomy, resolution: int) -> tuple[Plane, Plane]:
    """Compute the pixel centres in the patient's frame: shifted, rotated, scaled, and with a bent spine."""
    centres = (np.arange(resolution, dtype=np.float32) + np.float32(0.5)) * np.float32(2 / resolution) - np.float32(1)
    x, y = centres[None, :] - np.float32(anatomy.offset[0]), centres[:, None] - np.float32(anatomy.offset[1])
    cosine, sine = np.float32(np.cos(anatomy.rotation)), np.float32(np.sin(anatomy.rotation))
    across = (x * cosine + y * sine) / np.float32(anatomy.scale)
    down = (y * cosine - x * sine) / np.float32(anatomy.scale)
    return across - np.float32(anatomy.spine_bend) * (1 - down * down), down


def _compute_outer_border(anatomy: Anatomy, y: Plane) -> Plane:
    """Compute the outer border of the lungs: an arch from the apex to the widest level, then nearly straight."""
    rise = np.clip((anatomy.widest_level - y) / (anatomy.widest_level - anatomy.apex), 0, 1)
    arch = np.float32(anatomy.thorax_half_width) * np.sqrt(1 - rise**2.6)
    border: Plane = arch + np.float32(0.03) * np.clip(y - anatomy.widest_level, 0, 1)
    return border


def _smooth_minimum(a: Plane, b: Plane) -> Plane:
    """Return the smaller of two distances, with rounded corners."""
    gap = a - b
    minimum: Plane = np.float32(0.5) * (a + b - np.sqrt(gap * gap + np.float32(0.16**2)))
    return minimum


def _compute_heart_depth(anatomy: Anatomy, x: Plane, y: Plane) -> Plane:
    """Compute the signed distance (positive inside) from the union of ventricles, right atrium and pulmonary trunk.

    The width of the heart divided by the width of the thorax is the cardiothoracic ratio.
    """
    width = 2 * anatomy.thorax_half_width * anatomy.cardiothoracic_ratio
    right, left = 0.34 * width, 0.66 * width
    size = left / 0.45
    base = (anatomy.diaphragm[0] + anatomy.diaphragm[1]) / 2 - 0.7 * anatomy.dome[1]
    middle = anatomy.mediastinal_shift
    ventricles = tilted_ellipse_distance(
        x, y, (middle + 0.20 * left, base - 0.10 * size), (0.83 * left, 0.27 * size**0.6), 0.5
    )
    atrium = tilted_ellipse_distance(x, y, (middle - right + 0.22, base - 0.16 * size), (0.22, 0.27 * size**0.5), 0.0)
    trunk = tilted_ellipse_distance(x, y, (middle + 0.06, base - 0.38 * size**0.5), (0.16 * size**0.5, 0.24), -0.25)
    heart: Plane = np.maximum(np.maximum(ventricles, atrium), trunk)
    return heart


def blend_sides(values: Pair, left_weight: Plane) -> Plane:
    """Return the value of each point's side of the body, with a soft transition at the midline."""
    blended: Plane = np.float32(values[0]) + np.float32(values[1] - values[0]) * left_weight
    return blended


def soft_mask(depth: Plane, edge_width: float, pixel_size: float) -> Plane:
    """Convert a signed distance (positive inside) to coverage in [0, 1], with an edge of at least one pixel."""
    coverage: Plane = np.clip(depth / max(edge_width, pixel_size) + 0.5, 0, 1)
    return coverage


def tilted_ellipse_distance(x: Plane, y: Plane, centre: Pair, radii: Pair, tilt: float) -> Plane:
    """Compute the signed distance (positive inside, approximate) from an ellipse tilted by `tilt` radians."""
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    cosine, sine = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
    reach = np.hypot((dx * cosine + dy * sine) / np.float32(radii[0]), (dy * cosine - dx * sine) / np.float32(radii[1]))
    signed: Plane = (1 - reach) * np.float32(min(radii))
    return signed


def ellipse_distance(canvas: Canvas, *, centre: Pair, radii: Pair) -> Plane:
    """Compute the signed distance (positive inside) from an upright ellipse in the patient's frame."""
    return tilted_ellipse_distance(canvas.x, canvas.y, centre, radii, 0.0)


def gaussian_bump(canvas: Canvas, *, centre: Pair, radii: Pair) -> Plane:
    """Compute a Gaussian of height 1."""
    reach = ((canvas.x - centre[0]) / radii[0]) ** 2 + ((canvas.y - centre[1]) / radii[1]) ** 2
    bump: Plane = np.exp(-reach)
    return bump


def smooth_noise(rng: np.random.Generator, n: int, resolution: int) -> Plane:
    """Draw smooth unit noise [R, R] from an n x n lattice: the same field at every resolution."""
    lattice = rng.standard_normal((n, n), dtype=np.float32)
    if n == resolution:
        return lattice
    return np.asarray(Image.fromarray(lattice).resize((resolution, resolution), Image.Resampling.BICUBIC))


def draw_chest(canvas: Canvas) -> Layers:
    """Draw a chest without findings: soft tissue, lungs, heart, great vessels and bones."""
    density = _draw_tissue(canvas)
    density -= (
        canvas.anatomy.lung_air * canvas.lung_mask * (1 - 0.55 * np.exp(-np.maximum(canvas.lung_depth, 0) / 0.10))
    )
    density += _draw_mediastinum(canvas) + _draw_bones(canvas)
    return Layers(density, np.ones_like(density))


def _draw_tissue(canvas: Canvas) -> Plane:
    """Draw chest wall, shoulders, neck, the abdomen, breasts and a gastric bubble."""
    anatomy, pixel = canvas.anatomy, canvas.pixel_size
    top = anatomy.apex - 0.62 + anatomy.shoulder * 1.6 * np.clip(canvas.midline_distance - 0.2, 0, 1) ** 0.8
    neck_and_shoulders = soft_mask(canvas.y - top, 0.08, pixel)
    flank = anatomy.torso_half_width + 0.25 * np.clip(-canvas.y - 0.15, 0, 1)
    body = neck_and_shoulders * soft_mask(flank - canvas.midline_distance, 0.05, pixel)
    round_off = 1 - np.exp(-np.clip(flank - canvas.midline_distance + 0.03, 0, 2) / 0.14)
    density: Plane = body * round_off * (anatomy.tissue_density + 0.22 * canvas.y)
    wall = np.clip((anatomy.thorax_half_width + 0.10 - canvas.midline_distance) / 0.12, 0, 1)
    density += 0.85 * soft_mask(canvas.y - canvas.lower_border, 0.03, pixel) * wall * body
    if anatomy.breast_density:
        fold = np.minimum(ellipse_distance(canvas, centre=(-0.42, 0.18), radii=(0.34, 0.36)), 0.08)
        fold = np.maximum(fold, np.minimum(ellipse_distance(canvas, centre=(0.42, 0.18), radii=(0.34, 0.36)), 0.08))
        density += anatomy.breast_density * soft_mask(fold - 0.02, 0.05, pixel) * np.clip(canvas.y + 0.3, 0, 1) * body
    if anatomy.gastric_bubble:
        centre = (0.38, anatomy.diaphragm[1] + 0.02)
        density -= anatomy.gastric_bubble * soft_mask(
            ellipse_distance(canvas, centre=centre, radii=(0.15, 0.07)), 0.03, pixel
        )
    return density


def _draw_mediastinum(canvas: Canvas) -> Plane:
    """Draw great vessels, aortic knob, heart (the abdomen hides its lower part), hila and trachea."""
    anatomy, pixel = canvas.anatomy, canvas.pixel_size
    above_diaphragm = 1 - 0.85 * soft_mask(canvas.y - canvas.lower_border, 0.05, pixel)
    knob = ellipse_distance(
        canvas,
        centre=(0.10 + anatomy.mediastinal_shift, -0.30),
        radii=(anatomy.aortic_knob_radius, anatomy.aortic_knob_radius * 1.2),
    )
    density = (
        0.36 * soft_mask(anatomy.mediastinum_half_width * 0.95 - canvas.midline_distance, 0.07, pixel) * above_diaphragm
    )
    density += 0.24 * soft_mask(knob, 0.03, pixel)
    density += (
        soft_mask(canvas.heart_depth, 0.03, pixel)
        * above_diaphragm
        * (0.46 + 0.30 * np.sqrt(np.clip(canvas.heart_depth / 0.27, 0, 1)))
    )
    density += 0.12 * np.exp(-(((canvas.midline_distance - 0.20) / 0.07) ** 2) - ((canvas.y + 0.05) / 0.14) ** 2)
    trachea = 0.036 - np.abs(canvas.x - np.float32(0.5 * anatomy.mediastinal_shift))
    density -= 0.22 * soft_mask(trachea, 0.02, pixel) * soft_mask(-0.27 - canvas.y, 0.05, pixel)
    return density


def _draw_bones(canvas: Canvas) -> Plane:
    """Draw spine, anterior and posterior ribs, clavicles and scapulae."""
    anatomy, pixel = canvas.anatomy, canvas.pixel_size
    vertebrae = 0.20 + 0.05 * np.cos(canvas.y * np.float32(2 * np.pi / 0.135) + 6 * anatomy.rib_phase)
    density: Plane = vertebrae * soft_mask(0.085 - np.abs(canvas.x), 0.035, pixel)
    cage = soft_mask(canvas.outer_border + 0.05 - canvas.midline_distance, 0.04, pixel) * soft_mask(
        canvas.y - anatomy.apex, 0.1, pixel
    )
    cage *= np.clip((anatomy.diaphragm[1] + 0.25 - canvas.y) / 0.3, 0, 1)
    reach = canvas.midline_distance / anatomy.thorax_half_width
    back = _draw_ribs(canvas, canvas.y - 0.22 * reach * reach, anatomy.rib_width)
    front = _draw_ribs(
        canvas, canvas.y - 0.22 - 0.42 * (anatomy.thorax_half_width - canvas.midline_distance), anatomy.rib_width * 1.1
    )
    density += (
        0.13
        * cage
        * (back * np.clip(canvas.midline_distance / 0.08, 0, 1) + 0.55 * front * np.clip(reach * 2.2 - 0.9, 0, 1))
    )
    clavicle_distance = canvas.y - (
        anatomy.apex + 0.26 - 0.26 * canvas.midline_distance + 0.09 * np.sin(canvas.midline_distance * 6.5)
    )
    clavicle_span = soft_mask(canvas.midline_distance - 0.09, 0.03, pixel) * soft_mask(
        0.78 - canvas.midline_distance, 0.06, pixel
    )
    density += 0.15 * clavicle_span * soft_mask(0.032 - np.abs(clavicle_distance), 0.015, pixel)
    scapula = (
        np.clip((canvas.midline_distance - 0.50) / 0.06, 0, 1)
        * soft_mask(0.06 - canvas.y, 0.15, pixel)
        * soft_mask(canvas.y - anatomy.apex - 0.12, 0.1, pixel)
    )
    humeral_head = ((canvas.midline_distance - 0.93) / 0.14) ** 2 + ((canvas.y - anatomy.apex - 0.10) / 0.14) ** 2
    density += anatomy.scapula_density * scapula + 0.16 * soft_mask((1 - np.sqrt(humeral_head)) * 0.14, 0.03, pixel)
    density *= anatomy.bone_density
    return density


def _draw_ribs(canvas: Canvas, level: Plane, half_width: float) -> Plane:
    """Draw all ribs as bands that are one rib period apart in `level`."""
    period = canvas.anatomy.rib_period
    turns = level / period + canvas.anatomy.rib_phase
    rib_distance = np.abs(turns - np.rint(turns)) * period
    return soft_mask(half_width - rib_distance, 0.015, canvas.pixel_size)


def draw_vessels(canvas: Canvas, rng: np.random.Generator) -> Plane:
    """Draw vascular markings: curved streaks that spread from each hilum and fade towards the chest wall."""
    phase = rng.uniform(0, 2 * np.pi, size=(3, 2)).tolist()
    dx, dy = canvas.midline_distance - np.float32(0.12), canvas.y + np.float32(0.04)
    radius = np.hypot(dx, dy)
    angle = np.arctan2(dy, dx)
    streaks = np.zeros_like(radius)
    for turns, wave, (right, left) in zip((9.0, 15.0, 23.0), (7.0, 11.0, 16.0), phase, strict=True):
        start = blend_sides((right, left), canvas.left_weight)
        streaks += np.maximum(np.cos(turns * angle + 1.6 * np.sin(wave * radius + start) + start), 0)
    near_and_far = np.exp(-radius / 0.30) * radius / (radius + np.float32(0.10))
    behind_heart = 1 - 0.8 * soft_mask(canvas.heart_depth, 0.06, canvas.pixel_size)
    markings: Plane = canvas.anatomy.vessel_density * 3.2 * canvas.lung_mask * near_and_far * behind_heart * streaks
    return markings


def expose_film(canvas: Canvas, density: Plane, rng: np.random.Generator) -> Float32:
    """Convert attenuation to the film [R, R] in [0, 1]: exposure, side marker, and grain from coarse to fine."""
    anatomy = canvas.anatomy
    resolution = density.shape[0]
    marker = np.minimum(0.05 - np.abs(canvas.x - anatomy.marker[0]), 0.07 - np.abs(canvas.y - anatomy.marker[1]))
    notch = np.minimum(canvas.x - anatomy.marker[0] + 0.02, anatomy.marker[1] + 0.04 - canvas.y)
    film = 1 - np.exp(-np.maximum(density, 0.02))
    film = anatomy.gain * film**anatomy.gamma
    film += (0.95 - film) * soft_mask(np.minimum(marker, -notch), 0.0, canvas.pixel_size)
    n = 4
    while n <= resolution:
        film += anatomy.grain_amplitude * (1.2 if n <= 8 else 0.8) * smooth_noise(rng, n, resolution) * (0.25 + film)
        n *= 2
    clipped: Float32 = np.clip(film, 0, 1).astype(np.float32, copy=False)
    return clipped
