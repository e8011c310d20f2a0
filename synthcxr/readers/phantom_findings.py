"""Draw the 14 findings. A finding changes the anatomical parameters, adds to the attenuation, or both.

Each drawing exaggerates the radiographic sign in its docstring, so that it is visible at 32 px.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from synthcxr.readers.phantom_anatomy import Anatomy, Pair
from synthcxr.readers.phantom_drawing import (
    Canvas,
    Layers,
    Plane,
    ellipse_distance,
    gaussian_bump,
    smooth_noise,
    soft_mask,
)


@dataclasses.dataclass(frozen=True)
class Lesion:
    """Position and strength of a finding.

    `side` is 0 (right) or 1 (left). `strength`, `height` and `lateral_position` are in [0, 1]. `rng` draws the details.
    """

    side: int
    strength: float
    height: float
    lateral_position: float
    is_bilateral: bool
    rng: np.random.Generator


def sample_lesion(rng: np.random.Generator) -> Lesion:
    """Sample the position and strength of a finding; its details use the same stream afterwards."""
    side = int(rng.integers(2))
    strength, height, lateral_position, bilateral = rng.uniform(size=4).tolist()
    return Lesion(side, strength, height, lateral_position, bilateral < 0.35, rng)


def alter_anatomy(anatomy: Anatomy, finding: str, lesion: Lesion) -> Anatomy:
    """Return the anatomical parameters with a finding; most findings do not change them."""
    alter = _ANATOMY_CHANGES.get(finding)
    return anatomy if alter is None else alter(anatomy, lesion)


def add_lesion(canvas: Canvas, layers: Layers, finding: str, lesion: Lesion) -> None:
    """Add a finding to the layers in place; some findings only change the anatomical parameters."""
    draw = _DRAWINGS.get(finding)
    if draw is not None:
        draw(canvas, layers, lesion)


def _add_on_side(values: Pair, side: int, amount: float) -> Pair:
    return (values[0] + amount * (side == 0), values[1] + amount * (side == 1))


def _get_side_sign(lesion: Lesion) -> float:
    return 1.0 if lesion.side else -1.0


def _select_lung_mask(canvas: Canvas, lesion: Lesion) -> Plane:
    if lesion.is_bilateral:
        return canvas.lung_mask
    return canvas.lung_mask * (canvas.left_weight if lesion.side else 1 - canvas.left_weight)


def _place_in_lung(canvas: Canvas, lesion: Lesion, *, top: float, bottom: float) -> Pair:
    """Return a point inside the lesion's lung; `top` and `bottom` are heights from 0 (apex) to 1 (diaphragm)."""
    anatomy = canvas.anatomy
    floor = anatomy.diaphragm[lesion.side] - anatomy.dome[lesion.side]
    y = anatomy.apex + (top + (bottom - top) * lesion.height) * (floor - anatomy.apex)
    rise = min(max((anatomy.widest_level - y) / (anatomy.widest_level - anatomy.apex), 0.0), 1.0)
    border = anatomy.thorax_half_width * (1 - rise**2.6) ** 0.5
    distance = 0.26 + (border - 0.14 - 0.26) * lesion.lateral_position if border > 0.45 else 0.8 * border
    return (_get_side_sign(lesion) * distance + anatomy.mediastinal_shift, y)


def _lose_volume(anatomy: Anatomy, lesion: Lesion) -> Anatomy:
    """Atelectasis: a raised diaphragm, and the mediastinum shifted to that side."""
    return dataclasses.replace(
        anatomy,
        diaphragm=_add_on_side(anatomy.diaphragm, lesion.side, -0.14 - 0.10 * lesion.strength),
        mediastinal_shift=anatomy.mediastinal_shift + _get_side_sign(lesion) * (0.06 + 0.04 * lesion.strength),
    )


def _enlarge_heart(anatomy: Anatomy, lesion: Lesion) -> Anatomy:
    """Cardiomegaly: a cardiothoracic ratio of 0.62 to 0.75."""
    return dataclasses.replace(anatomy, cardiothoracic_ratio=0.62 + 0.13 * lesion.strength)


def _inflate(anatomy: Anatomy, lesion: Lesion) -> Anatomy:
    """Emphysema: low flat diaphragm, wide dark lungs, narrow heart, few vessels."""
    return dataclasses.replace(
        anatomy,
        diaphragm=(anatomy.diaphragm[0] + 0.16, anatomy.diaphragm[1] + 0.16),
        dome=(anatomy.dome[0] * 0.3, anatomy.dome[1] * 0.3),
        thorax_half_width=min(anatomy.thorax_half_width + 0.05, 0.80),
        cardiothoracic_ratio=anatomy.cardiothoracic_ratio * (0.85 - 0.06 * lesion.strength),
        lung_air=anatomy.lung_air + 0.10,
        vessel_density=anatomy.vessel_density * 0.5,
    )


def _shrink(anatomy: Anatomy, lesion: Lesion) -> Anatomy:
    """Fibrosis: both lungs smaller."""
    raised = 0.06 + 0.06 * lesion.strength
    return dataclasses.replace(anatomy, diaphragm=(anatomy.diaphragm[0] - raised, anatomy.diaphragm[1] - raised))


def _draw_atelectasis(canvas: Canvas, layers: Layers, lesion: Lesion) -> None:
    """Draw one or two plate-like bands above the raised diaphragm, and a denser lower lung."""
    lung = _select_lung_mask(canvas, dataclasses.replace(lesion, is_bilateral=False))
    slope = 0.25 * (lesion.lateral_position - 0.5)
    above = canvas.lower_border - canvas.y + slope * canvas.midline_distance
    for height in (0.10, 0.24)[: 1 + (lesion.height > 0.4)]:
        layers.density += 0.75 * lung * soft_mask(0.034 - np.abs(above - height), 0.02, canvas.pixel_size)
    layers.density += 0.22 * lung * np.exp(-np.maximum(above, 0) / 0.18)


def _draw_effusion(canvas: Canvas, layers: Layers, lesion: Lesion) -> None:
    """Draw fluid at the base up to a meniscus that rises at the chest wall, with a blunted costophrenic angle."""
    for side in (0, 1):
        if side == lesion.side or lesion.is_bilateral:
            height = (0.20 + 0.30 * lesion.strength) * (1.0 if side == lesion.side else 0.7)
            level = canvas.anatomy.diaphragm[side] - height
            meniscus = 0.20 * np.clip(canvas.midline_distance / canvas.anatomy.thorax_half_width, 0, 1) ** 4
            fluid = soft_mask(canvas.y - level + meniscus, 0.04, canvas.pixel_size) * (
                canvas.left_weight if side else 1 - canvas.left_weight
            )
            layers.density += 1.05 * canvas.lung_mask * fluid
            layers.markings *= 1 - fluid


def _draw_infiltration(canvas: Canvas, layers: Layers, lesion: Lesion) -> None:
    """Draw ill-defined patches in the middle of one or both lungs."""
    resolution = canvas.y.shape[0]
    mottle = np.clip(
        0.7 * smooth_noise(lesion.rng, 13, resolution) + 0.7 * smooth_noise(lesion.rng, 27, resolution) + 0.3, 0, 1.8
    )
    floor = canvas.anatomy.diaphragm[lesion.side] - canvas.anatomy.dome[lesion.side]
    middle = canvas.anatomy.apex + (0.45 + 0.25 * lesion.height) * (floor - canvas.anatomy.apex)
    zone = np.exp(-(((canvas.y - middle) / 0.30) ** 2) - ((canvas.midline_distance - 0.38) / 0.30) ** 2)
    layers.density += (0.42 + 0.20 * lesion.strength) * mottle * zone * _select_lung_mask(canvas, lesion)


def _draw_mass(canvas: Canvas, layers: Layers, lesion: Lesion) -> None:
    """Draw one round opacity with a sharp edge, wider than 3 cm."""
    radius = 0.11 + 0.07 * lesion.strength
    centre = _place_in_lung(canvas, lesion, top=0.25, bottom=0.8)
    ball = ellipse_distance(canvas, centre=centre, radii=(radius, radius * (0.85 + 0.3 * lesion.lateral_position)))
    layers.density += soft_mask(ball, 0.015, canvas.pixel_size) * (0.55 + 0.25 * np.sqrt(np.clip(ball / radius, 0, 1)))


def _draw_nodule(canvas: Canvas, layers: Layers, lesion: Lesion) -> None:
    """Draw one to three round opacities of at most 3 cm."""
    for _ in range(1 + int(3 * lesion.strength)):
        height, lateral_position = lesion.rng.uniform(size=2).tolist()
        centre = _place_in_lung(
            canvas, dataclasses.replace(lesion, height=height, lateral_position=lateral_position), top=0.2, bottom=0.9
        )
        radius = 0.045 + 0.02 * lateral_position
        ball = ellipse_distance(canvas, centre=centre, radii=(radius, radius))
        layers.density += 0.75 * soft_mask(ball, 0.015, canvas.pixel_size)


def _draw_pneumonia(canvas: Canvas, layers: Layers, lesion: Lesion) -> None:
    """Draw one dense, ill-defined opacity in a lower lobe, with dark air bronchograms."""
    centre = _place_in_lung(
        canvas, dataclasses.replace(lesion, lateral_position=0.3 + 0.4 * lesion.lateral_position), top=0.72, bottom=0.86
    )
    fluff = 1 + 0.25 * smooth_noise(lesion.rng, 16, canvas.y.shape[0])
    cloud = np.clip(1.5 * gaussian_bump(canvas, centre=centre, radii=(0.23, 0.20)) * fluff, 0, 1)
    angle = np.arctan2(canvas.y + 0.02, canvas.midline_distance - 0.10)
    bronchi = np.clip(np.cos(13 * angle + 1.5 * np.sin(11 * canvas.midline_distance)) - 0.5, 0, 1)
    layers.density += (
        (0.75 + 0.2 * lesion.strength)
        * cloud
        * (1 - bronchi)
        * _select_lung_mask(canvas, dataclasses.replace(lesion, is_bilateral=False))
    )


def _draw_pneumothorax(canvas: Canvas, layers: Layers, lesion: Lesion) -> None:
    """Draw black air without markings between the chest wall and a thin pleural line, and a denser lung."""
    lung = _select_lung_mask(canvas, dataclasses.replace(lesion, is_bilateral=False))
    upper_weight = np.clip((0.35 - canvas.y) / (0.35 - canvas.anatomy.apex), 0, 1)
    gap = (0.16 + 0.16 * lesion.strength) * (0.35 + 0.65 * upper_weight)
    pleural_distance = np.maximum(
        canvas.midline_distance + gap - canvas.outer_border, canvas.anatomy.apex + gap * 1.2 - canvas.y
    )
    air = soft_mask(pleural_distance, 0.015, canvas.pixel_size) * lung
    layers.density += 0.16 * (lung - air) - 0.40 * air
    layers.density += 0.22 * lung * soft_mask(0.014 - np.abs(pleural_distance), 0.01, canvas.pixel_size)
    layers.markings *= 1 - air


def _draw_consolidation(canvas: Canvas, layers: Layers, lesion: Lesion) -> None:
    """Draw a uniformly white upper lobe with a sharp lower border at the fissure."""
    floor = canvas.anatomy.diaphragm[lesion.side] - canvas.anatomy.dome[lesion.side]
    fissure = canvas.anatomy.apex + (0.42 + 0.14 * lesion.height) * (floor - canvas.anatomy.apex)
    lobe = soft_mask(fissure - canvas.y + 0.18 * (canvas.midline_distance - 0.4), 0.015, canvas.pixel_size)
    lung = _select_lung_mask(canvas, dataclasses.replace(lesion, is_bilateral=False))
    layers.density += (0.55 + 0.25 * lesion.strength) * lobe * lung
    layers.markings *= 1 - 0.8 * lobe * lung


def _draw_edema(canvas: Canvas, layers: Layers, lesion: Lesion) -> None:
    """Draw bat-wing opacity around both hila, prominent vessels, and short Kerley lines at the lateral bases."""
    wing = np.exp(-(((canvas.midline_distance - 0.20) / 0.27) ** 2) - ((canvas.y + 0.04) / 0.34) ** 2)
    layers.density += (0.50 + 0.30 * lesion.strength) * wing * canvas.lung_mask
    layers.markings *= 1.8
    turns = canvas.y / 0.045
    rungs = soft_mask(0.008 - np.abs(turns - np.rint(turns)) * 0.045, 0.008, canvas.pixel_size)
    base = soft_mask(0.16 - (canvas.outer_border - canvas.midline_distance), 0.03, canvas.pixel_size) * np.clip(
        (canvas.y - 0.02) / 0.1, 0, 1
    )
    layers.density += 0.22 * rungs * base * canvas.lung_mask


def _draw_emphysema(canvas: Canvas, layers: Layers, lesion: Lesion) -> None:
    """Draw dark, thin-walled bullae in the upper lungs; `_inflate` does the rest."""
    for _ in range(1 + int(2 * lesion.strength)):
        side, height, lateral_position = lesion.rng.uniform(size=3).tolist()
        bulla = dataclasses.replace(lesion, side=int(side > 0.5), height=height, lateral_position=lateral_position)
        ball = ellipse_distance(canvas, centre=_place_in_lung(canvas, bulla, top=0.2, bottom=0.55), radii=(0.12, 0.14))
        layers.density += canvas.lung_mask * (
            0.14 * soft_mask(0.009 - np.abs(ball), 0.008, canvas.pixel_size)
            - 0.13 * soft_mask(ball, 0.02, canvas.pixel_size)
        )
        layers.markings *= 1 - soft_mask(ball, 0.02, canvas.pixel_size)


def _draw_fibrosis(canvas: Canvas, layers: Layers, lesion: Lesion) -> None:
    """Draw a network of coarse lines in the outer and lower parts of both lungs."""
    field = smooth_noise(lesion.rng, 32, canvas.y.shape[0])
    net = np.exp(-((field / 0.33) ** 2))
    outer = np.exp(-np.maximum(canvas.lung_depth, 0) / 0.22) * np.clip((canvas.y + 0.55) / 0.5, 0, 1)
    layers.density += (0.65 + 0.25 * lesion.strength) * net * outer * canvas.lung_mask


def _draw_pleural_thickening(canvas: Canvas, layers: Layers, lesion: Lesion) -> None:
    """Draw a white rim inside the chest wall, from the apex down one or both sides."""
    width = 0.07 + 0.04 * lesion.strength
    uneven = width * (1 + 0.25 * smooth_noise(lesion.rng, 6, canvas.y.shape[0]))
    rim = soft_mask(uneven - (canvas.outer_border - canvas.midline_distance), 0.015, canvas.pixel_size) * soft_mask(
        0.25 - canvas.y, 0.2, canvas.pixel_size
    )
    layers.density += 0.75 * rim * _select_lung_mask(canvas, lesion)


def _draw_hernia(canvas: Canvas, layers: Layers, lesion: Lesion) -> None:
    """Draw a hiatal hernia: a round pouch behind the heart with dark gas above a fluid level."""
    anatomy = canvas.anatomy
    radius = 0.16 + 0.06 * lesion.strength
    base = (anatomy.diaphragm[0] + anatomy.diaphragm[1]) / 2 - anatomy.dome[1]
    centre = (anatomy.mediastinal_shift + 0.06 + 0.10 * lesion.lateral_position, base - 0.45 * radius)
    ball = ellipse_distance(canvas, centre=centre, radii=(radius, radius))
    gas = soft_mask(ball - 0.02, 0.02, canvas.pixel_size) * soft_mask(
        centre[1] + 0.25 * radius - canvas.y, 0.015, canvas.pixel_size
    )
    pouch = soft_mask(ball, 0.02, canvas.pixel_size)
    layers.density += pouch * np.maximum(0.25, 1.2 - layers.density) * (1 - gas)
    layers.density += gas * (0.38 - layers.density)


_ANATOMY_CHANGES: dict[str, Callable[[Anatomy, Lesion], Anatomy]] = {
    "Atelectasis": _lose_volume,
    "Cardiomegaly": _enlarge_heart,
    "Emphysema": _inflate,
    "Fibrosis": _shrink,
}
_DRAWINGS: dict[str, Callable[[Canvas, Layers, Lesion], None]] = {
    "Atelectasis": _draw_atelectasis,
    "Effusion": _draw_effusion,
    "Infiltration": _draw_infiltration,
    "Mass": _draw_mass,
    "Nodule": _draw_nodule,
    "Pneumonia": _draw_pneumonia,
    "Pneumothorax": _draw_pneumothorax,
    "Consolidation": _draw_consolidation,
    "Edema": _draw_edema,
    "Emphysema": _draw_emphysema,
    "Fibrosis": _draw_fibrosis,
    "Pleural_Thickening": _draw_pleural_thickening,
    "Hernia": _draw_hernia,
}
