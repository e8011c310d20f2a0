"""Drawn chests with known findings: they prove a pipeline without any film, and never that an image is realistic.

Film `index` of `seed` is the same chest at every resolution and whatever the number of films asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np

from synthcxr.data import random_streams
from synthcxr.data.films import Film
from synthcxr.data.findings import FINDINGS, NO_FINDING, to_multi_hot
from synthcxr.errors import ConfigError
from synthcxr.readers import phantom_anatomy, phantom_drawing, phantom_findings
from synthcxr.readers.phantom_drawing import Float32

ATTRIBUTION = ""
RESOLUTIONS = (8, 1024)
ABNORMAL = 0.62
WEIGHTS = {
    "Infiltration": 0.12,
    "Effusion": 0.12,
    "Atelectasis": 0.10,
    "Cardiomegaly": 0.08,
    "Nodule": 0.08,
    "Mass": 0.07,
    "Pneumothorax": 0.07,
    "Consolidation": 0.07,
    "Edema": 0.07,
    "Emphysema": 0.06,
    "Fibrosis": 0.065,
    "Pneumonia": 0.07,
    "Pleural_Thickening": 0.07,
    "Hernia": 0.065,
}
_N_FINDINGS = (0.5, 0.33, 0.17)
_AP_SHARE = 0.35
_AP_SHARE_IF_ILL = 0.75
_BED = ("Edema", "Effusion", "Atelectasis")
_PATIENT_OF = (0, 1, 2, 3, 3, 4, 4, 4)
_ROLES = {"plan": 0, "patient": 1, "build": 2, "pose": 3, "markings": 4, "grain": 5}
_ROLES |= {finding: 16 + place for place, finding in enumerate(FINDINGS)}
_ROLE_BITS = 48
_SMALLEST_DRAWN = 64


def read(
    *,
    n_films: int,
    resolution: int,
    seed: int,
    source: str = "phantom",
    report: Callable[[str], None] = lambda line: None,
) -> Iterator[Film]:
    """`n_films` drawn films of `resolution` pixels a side, one to three of each patient.

    Findings come more often than in a hospital (each in some 4 to 12 films of a hundred, none in 38), so that a few
    hundred films show them all. Raises ConfigError, its message beginning with the option's name, for an option out of
    range.
    """
    if n_films < 1:
        raise ConfigError(f"n_films: {n_films} is not 1 or more")
    if not RESOLUTIONS[0] <= resolution <= RESOLUTIONS[1]:
        raise ConfigError(f"resolution: {resolution} is not from {RESOLUTIONS[0]} to {RESOLUTIONS[1]}")
    if not 0 <= seed <= random_streams.MAX_SEED:
        raise ConfigError(f"seed: {seed} is not from 0 to {random_streams.MAX_SEED}")
    report(f"{source}: {n_films:,} drawn phantoms; they prove the pipeline, never realism")
    return (_film(seed, index, resolution, source) for index in range(n_films))


def draw(seed: int, index: int, resolution: int) -> Float32:
    """Film `index` of `seed` as float32 [resolution, resolution] in [0, 1]."""
    return draw_with(plan(seed, index)[0], seed=seed, index=index, resolution=resolution)


def plan(seed: int, index: int) -> tuple[tuple[str, ...], str]:
    """The findings that film `index` of `seed` shows, and its view; half of a patient's films show the same ones."""
    film, patient = _stream(seed, index, "plan"), _stream(seed, patient_of(index), "patient")
    lasting = film.uniform() < 0.5
    found = _findings(patient if lasting else film)
    share = _AP_SHARE_IF_ILL if set(found) & set(_BED) else _AP_SHARE
    return found, "AP" if film.uniform() < share else "PA"


def patient_of(index: int) -> int:
    """The patient of a film: of eight films in a row three patients have one, one has two and one has three."""
    return index // len(_PATIENT_OF) * (max(_PATIENT_OF) + 1) + _PATIENT_OF[index % len(_PATIENT_OF)]


def draw_with(findings: tuple[str, ...], *, seed: int, index: int, resolution: int) -> Float32:
    """Film `index` of `seed` with these findings instead of its own; patient, pose, exposure and grain stay."""
    _, view = plan(seed, index)
    build, pose = _stream(seed, patient_of(index), "build"), _stream(seed, index, "pose")
    anatomy = phantom_anatomy.sample(build, pose, view=view)
    lesions = {
        name: phantom_findings.sample(_stream(seed, index, name)) for name in FINDINGS if name in findings
    }
    for name, lesion in lesions.items():
        anatomy = phantom_findings.alter(anatomy, name, lesion)
    factor = -(-_SMALLEST_DRAWN // resolution)
    plane = phantom_drawing.canvas(anatomy, resolution * factor)
    layers = phantom_drawing.chest(plane)
    for name, lesion in lesions.items():
        phantom_findings.add(plane, layers, name, lesion)
    layers.density += layers.markings * phantom_drawing.vessels(plane, _stream(seed, index, "markings"))
    film = phantom_drawing.develop(plane, layers.density, _stream(seed, index, "grain"))
    reduced: Float32 = film.reshape(resolution, factor, resolution, factor).mean(axis=(1, 3))
    return reduced


def _film(seed: int, index: int, resolution: int, source: str) -> Film:
    findings, view = plan(seed, index)
    return Film(
        image_index=f"phantom-{seed}-{index:06d}",
        patient_id=f"phantom-{seed}-{patient_of(index)}",
        source=source,
        view=view,
        findings=to_multi_hot(findings or (NO_FINDING,)),
        read=functools.partial(draw, seed, index, resolution),
        read_size=functools.partial(_size, resolution),
        origin=f"phantom:{seed}/{index}",
    )


def _size(resolution: int) -> int:
    return resolution


def _stream(seed: int, index: int, role: str) -> np.random.Generator:
    """A stream of its own for each thing that is drawn, so that one finding more changes nothing else."""
    return random_streams.open_stream(seed, _ROLES[role] << _ROLE_BITS | index)


def _findings(rng: np.random.Generator) -> tuple[str, ...]:
    if rng.uniform() >= ABNORMAL:
        return ()
    n = 1 + int(np.searchsorted(np.cumsum(_N_FINDINGS), rng.uniform(), side="right"))
    weights = np.array([WEIGHTS[finding] for finding in FINDINGS])
    drawn = rng.choice(len(weights), size=min(n, len(_N_FINDINGS)), replace=False, p=weights / weights.sum())
    return tuple(FINDINGS[place] for place in sorted(drawn.tolist()))
