"""The 14 findings as drawn changes: some change the chest's measures, some add to its attenuation, some both.

Each is a caricature of the radiographic sign that its docstring names, large enough to be seen at 32 pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from synthcxr.readers.phantom_anatomy import Anatomy, Pair
from synthcxr.readers.phantom_drawing import Canvas, Layers, Plane, blob, ellipse, inside, noise


@dataclasses.dataclass(frozen=True)
class Lesion:
    """Where and how strong a finding is: `side` 0 right, 1 left; `strength`, `high`, `across` in 0 .. 1; `detail`
    draws what is left to draw."""

    side: int
    strength: float
    high: float
    across: float
    both: bool
    detail: np.random.Generator


def sample(rng: np.random.Generator) -> Lesion:
    """Draw a finding's place and strength; the stream goes on to draw its detail."""
    side = int(rng.integers(2))
    strength, high, across, both = rng.uniform(size=4).tolist()
    return Lesion(side, strength, high, across, both < 0.35, rng)


def alter(anatomy: Anatomy, finding: str, lesion: Lesion) -> Anatomy:
    """The chest's measures with a finding; most findings leave them as they are."""
    change = _ALTER.get(finding)
    return anatomy if change is None else change(anatomy, lesion)


def add(plane: Canvas, layers: Layers, finding: str, lesion: Lesion) -> None:
    """Add a finding to the layers, in place; some findings only alter the measures."""
    change = _ADD.get(finding)
    if change is not None:
        change(plane, layers, lesion)


def _on_side(values: Pair, side: int, amount: float) -> Pair:
    return (values[0] + amount * (side == 0), values[1] + amount * (side == 1))


def _sign(lesion: Lesion) -> float:
    return 1.0 if lesion.side else -1.0


def _lung_of(plane: Canvas, lesion: Lesion) -> Plane:
    return plane.lung if lesion.both else plane.lung * (plane.left if lesion.side else 1 - plane.left)


def _spot(plane: Canvas, lesion: Lesion, *, top: float, bottom: float) -> Pair:
    """A point inside the lesion's lung, between two heights given as shares of the lung's (0 apex, 1 diaphragm)."""
    anatomy = plane.anatomy
    floor = anatomy.diaphragm[lesion.side] - anatomy.dome[lesion.side]
    y = anatomy.apex + (top + (bottom - top) * lesion.high) * (floor - anatomy.apex)
    rise = min(max((anatomy.widest - y) / (anatomy.widest - anatomy.apex), 0.0), 1.0)
    outer = anatomy.thorax * (1 - rise**2.6) ** 0.5
    out = 0.26 + (outer - 0.14 - 0.26) * lesion.across if outer > 0.45 else 0.8 * outer
    return (_sign(lesion) * out + anatomy.shift, y)


def _lose_volume(anatomy: Anatomy, lesion: Lesion) -> Anatomy:
    """Atelectasis: the diaphragm of the side is raised and the mediastinum drawn over."""
    return dataclasses.replace(
        anatomy,
        diaphragm=_on_side(anatomy.diaphragm, lesion.side, -0.14 - 0.10 * lesion.strength),
        shift=anatomy.shift + _sign(lesion) * (0.06 + 0.04 * lesion.strength),
    )


def _enlarge_heart(anatomy: Anatomy, lesion: Lesion) -> Anatomy:
    """Cardiomegaly: a cardiothoracic ratio of 0.62 to 0.75."""
    return dataclasses.replace(anatomy, cardiothoracic=0.62 + 0.13 * lesion.strength)


def _inflate(anatomy: Anatomy, lesion: Lesion) -> Anatomy:
    """Emphysema: low flat diaphragm, wide dark lungs, narrow heart, few vessels."""
    return dataclasses.replace(
        anatomy,
        diaphragm=(anatomy.diaphragm[0] + 0.16, anatomy.diaphragm[1] + 0.16),
        dome=(anatomy.dome[0] * 0.3, anatomy.dome[1] * 0.3),
        thorax=min(anatomy.thorax + 0.05, 0.80),
        cardiothoracic=anatomy.cardiothoracic * (0.85 - 0.06 * lesion.strength),
        air=anatomy.air + 0.10,
        vessels=anatomy.vessels * 0.5,
    )


def _shrink(anatomy: Anatomy, lesion: Lesion) -> Anatomy:
    """Fibrosis: both lungs smaller."""
    raised = 0.06 + 0.06 * lesion.strength
    return dataclasses.replace(anatomy, diaphragm=(anatomy.diaphragm[0] - raised, anatomy.diaphragm[1] - raised))


def _atelectasis(plane: Canvas, layers: Layers, lesion: Lesion) -> None:
    """One or two plate-like bands above the raised diaphragm, the lower lung denser."""
    lung = _lung_of(plane, dataclasses.replace(lesion, both=False))
    slope = 0.25 * (lesion.across - 0.5)
    above = plane.floor - plane.y + slope * plane.out
    for height in (0.10, 0.24)[: 1 + (lesion.high > 0.4)]:
        layers.density += 0.75 * lung * inside(0.034 - np.abs(above - height), 0.02, plane.pixel)
    layers.density += 0.22 * lung * np.exp(-np.maximum(above, 0) / 0.18)


def _effusion(plane: Canvas, layers: Layers, lesion: Lesion) -> None:
    """Fluid at the base: white up to a level that climbs at the chest wall, the costophrenic angle blunted."""
    for side in (0, 1):
        if side == lesion.side or lesion.both:
            height = (0.20 + 0.30 * lesion.strength) * (1.0 if side == lesion.side else 0.7)
            level = plane.anatomy.diaphragm[side] - height
            climb = 0.20 * np.clip(plane.out / plane.anatomy.thorax, 0, 1) ** 4
            fluid = inside(plane.y - level + climb, 0.04, plane.pixel) * (plane.left if side else 1 - plane.left)
            layers.density += 1.05 * plane.lung * fluid
            layers.markings *= 1 - fluid


def _infiltration(plane: Canvas, layers: Layers, lesion: Lesion) -> None:
    """Ill-defined patches scattered through the middle of a lung or of both."""
    resolution = plane.y.shape[0]
    mottle = np.clip(
        0.7 * noise(lesion.detail, 13, resolution) + 0.7 * noise(lesion.detail, 27, resolution) + 0.3, 0, 1.8
    )
    floor = plane.anatomy.diaphragm[lesion.side] - plane.anatomy.dome[lesion.side]
    middle = plane.anatomy.apex + (0.45 + 0.25 * lesion.high) * (floor - plane.anatomy.apex)
    zone = np.exp(-(((plane.y - middle) / 0.30) ** 2) - ((plane.out - 0.38) / 0.30) ** 2)
    layers.density += (0.42 + 0.20 * lesion.strength) * mottle * zone * _lung_of(plane, lesion)


def _mass(plane: Canvas, layers: Layers, lesion: Lesion) -> None:
    """One round opacity with a sharp edge, wider than 3 cm."""
    radius = 0.11 + 0.07 * lesion.strength
    centre = _spot(plane, lesion, top=0.25, bottom=0.8)
    ball = ellipse(plane, centre=centre, radii=(radius, radius * (0.85 + 0.3 * lesion.across)))
    layers.density += inside(ball, 0.015, plane.pixel) * (0.55 + 0.25 * np.sqrt(np.clip(ball / radius, 0, 1)))


def _nodule(plane: Canvas, layers: Layers, lesion: Lesion) -> None:
    """One to three round opacities no wider than 3 cm."""
    for _ in range(1 + int(3 * lesion.strength)):
        high, across = lesion.detail.uniform(size=2).tolist()
        centre = _spot(plane, dataclasses.replace(lesion, high=high, across=across), top=0.2, bottom=0.9)
        radius = 0.045 + 0.02 * across
        ball = ellipse(plane, centre=centre, radii=(radius, radius))
        layers.density += 0.75 * inside(ball, 0.015, plane.pixel)


def _pneumonia(plane: Canvas, layers: Layers, lesion: Lesion) -> None:
    """One dense fluffy opacity in a lower lobe, with dark air bronchograms in it."""
    centre = _spot(plane, dataclasses.replace(lesion, across=0.3 + 0.4 * lesion.across), top=0.72, bottom=0.86)
    fluff = 1 + 0.25 * noise(lesion.detail, 16, plane.y.shape[0])
    cloud = np.clip(1.5 * blob(plane, centre=centre, radii=(0.23, 0.20)) * fluff, 0, 1)
    angle = np.arctan2(plane.y + 0.02, plane.out - 0.10)
    bronchi = np.clip(np.cos(13 * angle + 1.5 * np.sin(11 * plane.out)) - 0.5, 0, 1)
    layers.density += (
        (0.75 + 0.2 * lesion.strength)
        * cloud
        * (1 - bronchi)
        * _lung_of(plane, dataclasses.replace(lesion, both=False))
    )


def _pneumothorax(plane: Canvas, layers: Layers, lesion: Lesion) -> None:
    """Black air without markings between the chest wall and a thin pleural line; the lung inside is denser."""
    lung = _lung_of(plane, dataclasses.replace(lesion, both=False))
    high = np.clip((0.35 - plane.y) / (0.35 - plane.anatomy.apex), 0, 1)
    gap = (0.16 + 0.16 * lesion.strength) * (0.35 + 0.65 * high)
    beyond = np.maximum(plane.out + gap - plane.lateral, plane.anatomy.apex + gap * 1.2 - plane.y)
    air = inside(beyond, 0.015, plane.pixel) * lung
    layers.density += 0.16 * (lung - air) - 0.40 * air
    layers.density += 0.22 * lung * inside(0.014 - np.abs(beyond), 0.01, plane.pixel)
    layers.markings *= 1 - air


def _consolidation(plane: Canvas, layers: Layers, lesion: Lesion) -> None:
    """An upper lobe evenly white, with a sharp lower border at the fissure."""
    floor = plane.anatomy.diaphragm[lesion.side] - plane.anatomy.dome[lesion.side]
    fissure = plane.anatomy.apex + (0.42 + 0.14 * lesion.high) * (floor - plane.anatomy.apex)
    lobe = inside(fissure - plane.y + 0.18 * (plane.out - 0.4), 0.015, plane.pixel)
    lung = _lung_of(plane, dataclasses.replace(lesion, both=False))
    layers.density += (0.55 + 0.25 * lesion.strength) * lobe * lung
    layers.markings *= 1 - 0.8 * lobe * lung


def _edema(plane: Canvas, layers: Layers, lesion: Lesion) -> None:
    """Bat-wing haze about both hila, full vessels, short Kerley lines at the lateral bases."""
    wing = np.exp(-(((plane.out - 0.20) / 0.27) ** 2) - ((plane.y + 0.04) / 0.34) ** 2)
    layers.density += (0.50 + 0.30 * lesion.strength) * wing * plane.lung
    layers.markings *= 1.8
    turns = plane.y / 0.045
    rungs = inside(0.008 - np.abs(turns - np.rint(turns)) * 0.045, 0.008, plane.pixel)
    base = inside(0.16 - (plane.lateral - plane.out), 0.03, plane.pixel) * np.clip((plane.y - 0.02) / 0.1, 0, 1)
    layers.density += 0.22 * rungs * base * plane.lung


def _emphysema(plane: Canvas, layers: Layers, lesion: Lesion) -> None:
    """Dark bullae with thin walls in the upper lungs; the rest is in the chest's measures."""
    for _ in range(1 + int(2 * lesion.strength)):
        side, high, across = lesion.detail.uniform(size=3).tolist()
        place = dataclasses.replace(lesion, side=int(side > 0.5), high=high, across=across)
        ball = ellipse(plane, centre=_spot(plane, place, top=0.2, bottom=0.55), radii=(0.12, 0.14))
        layers.density += plane.lung * (
            0.14 * inside(0.009 - np.abs(ball), 0.008, plane.pixel) - 0.13 * inside(ball, 0.02, plane.pixel)
        )
        layers.markings *= 1 - inside(ball, 0.02, plane.pixel)


def _fibrosis(plane: Canvas, layers: Layers, lesion: Lesion) -> None:
    """A net of coarse lines in the outer and lower parts of both lungs."""
    field = noise(lesion.detail, 32, plane.y.shape[0])
    net = np.exp(-((field / 0.33) ** 2))
    outer = np.exp(-np.maximum(plane.depth, 0) / 0.22) * np.clip((plane.y + 0.55) / 0.5, 0, 1)
    layers.density += (0.65 + 0.25 * lesion.strength) * net * outer * plane.lung


def _pleural_thickening(plane: Canvas, layers: Layers, lesion: Lesion) -> None:
    """A white rind inside the chest wall, from the apex down one side or both."""
    width = 0.07 + 0.04 * lesion.strength
    uneven = width * (1 + 0.25 * noise(lesion.detail, 6, plane.y.shape[0]))
    rind = inside(uneven - (plane.lateral - plane.out), 0.015, plane.pixel) * inside(0.25 - plane.y, 0.2, plane.pixel)
    layers.density += 0.75 * rind * _lung_of(plane, lesion)


def _hernia(plane: Canvas, layers: Layers, lesion: Lesion) -> None:
    """A hiatal hernia: a round pouch behind the heart with dark gas above a fluid level."""
    anatomy = plane.anatomy
    radius = 0.16 + 0.06 * lesion.strength
    base = (anatomy.diaphragm[0] + anatomy.diaphragm[1]) / 2 - anatomy.dome[1]
    centre = (anatomy.shift + 0.06 + 0.10 * lesion.across, base - 0.45 * radius)
    ball = ellipse(plane, centre=centre, radii=(radius, radius))
    gas = inside(ball - 0.02, 0.02, plane.pixel) * inside(centre[1] + 0.25 * radius - plane.y, 0.015, plane.pixel)
    pouch = inside(ball, 0.02, plane.pixel)
    layers.density += pouch * np.maximum(0.25, 1.2 - layers.density) * (1 - gas)
    layers.density += gas * (0.38 - layers.density)


_ALTER: dict[str, Callable[[Anatomy, Lesion], Anatomy]] = {
    "Atelectasis": _lose_volume,
    "Cardiomegaly": _enlarge_heart,
    "Emphysema": _inflate,
    "Fibrosis": _shrink,
}
_ADD: dict[str, Callable[[Canvas, Layers, Lesion], None]] = {
    "Atelectasis": _atelectasis,
    "Effusion": _effusion,
    "Infiltration": _infiltration,
    "Mass": _mass,
    "Nodule": _nodule,
    "Pneumonia": _pneumonia,
    "Pneumothorax": _pneumothorax,
    "Consolidation": _consolidation,
    "Edema": _edema,
    "Emphysema": _emphysema,
    "Fibrosis": _fibrosis,
    "Pleural_Thickening": _pleural_thickening,
    "Hernia": _hernia,
}
