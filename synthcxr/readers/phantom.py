"""Phantoms: drawn chests with known findings. They test a pipeline without real films, and say nothing about realism.

Film `index` of `seed` shows the same chest at every resolution, however many films are requested.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np

from synthcxr.data import random_streams
from synthcxr.data.films import Film
from synthcxr.data.findings import FINDINGS, NO_FINDING, to_multi_hot
from synthcxr.errors import ConfigError
from synthcxr.readers.phantom_anatomy import sample_anatomy
from synthcxr.readers.phantom_drawing import Float32, build_canvas, draw_chest, draw_vessels, expose_film
from synthcxr.readers.phantom_findings import add_lesion, alter_anatomy, sample_lesion
from synthcxr.readers.reader import Reader, describe_options

MIN_RESOLUTION, MAX_RESOLUTION = 8, 1024
ABNORMAL_SHARE = 0.62
FINDING_WEIGHTS = {
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
_SHARES_OF_1_TO_3_FINDINGS = (0.5, 0.33, 0.17)
_AP_SHARE = 0.35
_AP_SHARE_OF_BEDSIDE_FINDINGS = 0.75
_BEDSIDE_FINDINGS = ("Edema", "Effusion", "Atelectasis")
_PATIENTS_OF_8_FILMS = (0, 1, 2, 3, 3, 4, 4, 4)
_STREAM_ROLES = {"plan": 0, "patient": 1, "build": 2, "pose": 3, "markings": 4, "grain": 5}
_STREAM_ROLES |= {finding: 16 + index for index, finding in enumerate(FINDINGS)}
_ROLE_BITS = 48
_MIN_DRAWN_RESOLUTION = 64


def read_films(
    *,
    n_films: int,
    resolution: int,
    seed: int,
    source: str = "phantom",
    report: Callable[[str], None] = lambda line: None,
) -> Iterator[Film]:
    """Draw `n_films` films of `resolution` x `resolution` pixels, one to three of each patient.

    Findings are more frequent than in a hospital (each in about 4 to 12 % of the films, none in 38 %), so that a few
    hundred films show all of them. Raises ConfigError for an option out of range; its message begins with the option.
    """
    if n_films < 1:
        raise ConfigError(f"n_films: {n_films} is not at least 1")
    if not MIN_RESOLUTION <= resolution <= MAX_RESOLUTION:
        raise ConfigError(f"resolution: {resolution} is not from {MIN_RESOLUTION} to {MAX_RESOLUTION}")
    if not 0 <= seed <= random_streams.MAX_SEED:
        raise ConfigError(f"seed: {seed} is not from 0 to {random_streams.MAX_SEED}")
    report(f"{source}: {n_films:,} drawn phantoms; they test the pipeline and say nothing about realism")
    return (_build_film(seed, index, resolution, source) for index in range(n_films))


def draw_film(seed: int, index: int, resolution: int) -> Float32:
    """Draw film `index` of `seed` as float32 [resolution, resolution] in [0, 1]."""
    return draw_with_findings(sample_findings_and_view(seed, index)[0], seed=seed, index=index, resolution=resolution)


def sample_findings_and_view(seed: int, index: int) -> tuple[tuple[str, ...], str]:
    """Sample the findings and the view of film `index` of `seed`; half of a patient's films share their findings."""
    film, patient = _open_stream(seed, index, "plan"), _open_stream(seed, get_patient_index(index), "patient")
    is_chronic = film.uniform() < 0.5
    findings = _sample_findings(patient if is_chronic else film)
    ap_share = _AP_SHARE_OF_BEDSIDE_FINDINGS if set(findings) & set(_BEDSIDE_FINDINGS) else _AP_SHARE
    return findings, "AP" if film.uniform() < ap_share else "PA"


def get_patient_index(index: int) -> int:
    """Return the patient of a film: of 8 consecutive films, three patients have one, one has two and one has three."""
    block, position = divmod(index, len(_PATIENTS_OF_8_FILMS))
    return block * (max(_PATIENTS_OF_8_FILMS) + 1) + _PATIENTS_OF_8_FILMS[position]


def draw_with_findings(findings: tuple[str, ...], *, seed: int, index: int, resolution: int) -> Float32:
    """Draw film `index` of `seed` with these findings instead of its own; patient, pose, exposure and grain stay."""
    _, view = sample_findings_and_view(seed, index)
    build, pose = _open_stream(seed, get_patient_index(index), "build"), _open_stream(seed, index, "pose")
    anatomy = sample_anatomy(build, pose, view=view)
    lesions = {name: sample_lesion(_open_stream(seed, index, name)) for name in FINDINGS if name in findings}
    for name, lesion in lesions.items():
        anatomy = alter_anatomy(anatomy, name, lesion)
    factor = -(-_MIN_DRAWN_RESOLUTION // resolution)
    canvas = build_canvas(anatomy, resolution * factor)
    layers = draw_chest(canvas)
    for name, lesion in lesions.items():
        add_lesion(canvas, layers, name, lesion)
    layers.density += layers.markings * draw_vessels(canvas, _open_stream(seed, index, "markings"))
    film = expose_film(canvas, layers.density, _open_stream(seed, index, "grain"))
    reduced: Float32 = film.reshape(resolution, factor, resolution, factor).mean(axis=(1, 3))
    return reduced


def _build_film(seed: int, index: int, resolution: int, source: str) -> Film:
    findings, view = sample_findings_and_view(seed, index)
    return Film(
        image_index=f"phantom-{seed}-{index:06d}",
        patient_id=f"phantom-{seed}-{get_patient_index(index)}",
        source=source,
        view=view,
        findings=to_multi_hot(findings or (NO_FINDING,)),
        read=functools.partial(draw_film, seed, index, resolution),
        read_size=functools.partial(_get_size, resolution),
        origin=f"phantom:{seed}/{index}",
    )


def _get_size(resolution: int) -> int:
    return resolution


def _open_stream(seed: int, index: int, role: str) -> np.random.Generator:
    """Open the random stream of one role. Roles do not share a stream, so another finding changes nothing else."""
    return random_streams.open_stream(seed, _STREAM_ROLES[role] << _ROLE_BITS | index)


def _sample_findings(rng: np.random.Generator) -> tuple[str, ...]:
    if rng.uniform() >= ABNORMAL_SHARE:
        return ()
    n = 1 + int(np.searchsorted(np.cumsum(_SHARES_OF_1_TO_3_FINDINGS), rng.uniform(), side="right"))
    weights = np.array([FINDING_WEIGHTS[finding] for finding in FINDINGS])
    indices = rng.choice(
        len(weights), size=min(n, len(_SHARES_OF_1_TO_3_FINDINGS)), replace=False, p=weights / weights.sum()
    )
    return tuple(FINDINGS[index] for index in sorted(indices.tolist()))


READER = Reader(
    name="phantom",
    films="drawn phantoms, which test a pipeline without films",
    read=read_films,
    options=describe_options(
        "source",
        n_films="The number of films to draw.",
        resolution="The side of each film in pixels.",
        seed="The seed of the drawings.",
    ),
)
