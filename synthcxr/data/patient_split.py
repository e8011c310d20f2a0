"""Which patient stands on which side: train, judge, val or test, stratified by source, view and finding."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from synthcxr.config.schema import Shares
from synthcxr.data import findings, random_streams
from synthcxr.data.records import Film
from synthcxr.errors import DataError

TEST = "test"
TRAIN_VAL = "train_val"

Float64 = NDArray[np.float64]


def split(films: Sequence[Film], shares: Shares, seed: int) -> dict[str, str]:
    """The side of every film, by its image index; `shares` are of patients and kept to the nearest patient.

    A patient of a source's official test list stands in test, one of its train_val list never does; patients of
    neither fill test up to its share. The same films in any order, and the same seed, give the same split. Raises
    DataError where there are fewer patients than sides, or where a patient stands in both lists.
    """
    official = _official(films)
    patients = sorted(official)
    asked = dataclasses.asdict(shares)
    strata = dict(zip(patients, _strata(films, patients), strict=True))
    rng = random_streams.stream(seed, 0)

    fixed = [patient for patient in patients if official[patient] == TEST]
    free = [patient for patient in patients if not official[patient]]
    n_test = min(max(_rooms(len(patients), asked)[TEST] - len(fixed), 0), len(free))
    drawn = _stratify(free, strata, {TEST: n_test, TRAIN_VAL: len(free) - n_test}, rng)

    side = dict.fromkeys(fixed, TEST) | {patient: TEST for patient in free if drawn[patient] == TEST}
    rest = [patient for patient in patients if patient not in side]
    side |= _stratify(rest, strata, _rooms(len(rest), {s: share for s, share in asked.items() if s != TEST}), rng)
    return {film.image_index: side[film.patient_id] for film in films}


def _official(films: Sequence[Film]) -> dict[str, str]:
    """The official side of every patient, "" where none of the films has one."""
    official: dict[str, str] = {}
    for film in films:
        before = official.get(film.patient_id, "")
        if before and film.official and film.official != before:
            raise DataError(f"patient {film.patient_id} stands in both official lists, {TRAIN_VAL} and {TEST}")
        official[film.patient_id] = before or film.official
    return official


def _strata(films: Sequence[Film], patients: Sequence[str]) -> Float64:
    """How many films of each stratum every patient has, [patients, strata], as shares of the stratum's films."""
    row = {patient: at for at, patient in enumerate(patients)}
    column: dict[tuple[str, str], int] = {}
    cells = [
        (row[film.patient_id], column.setdefault(stratum, len(column)))
        for film in sorted(films, key=lambda film: film.image_index)
        for stratum in (
            ("source", film.source),
            ("view", film.view),
            *(("finding", finding) for finding in findings.names(film.findings)),
        )
    ]
    counts = np.zeros((len(patients), len(column)))
    np.add.at(counts, tuple(np.array(cells).T), 1.0)
    counts /= counts.sum(axis=0)
    return counts


def _rooms(n: int, shares: Mapping[str, float]) -> dict[str, int]:
    """How many of `n` patients each side takes: its share by the largest remainder, and at least one."""
    asked = {side: share for side, share in shares.items() if share > 0}
    if n < len(asked) or not asked:
        raise DataError(f"{n} patients are too few for the sides {', '.join(asked)}; add patients, or set a share to 0")
    total = math.fsum(asked.values())
    exact = {side: n * share / total for side, share in asked.items()}
    rooms = {side: math.floor(size + 1e-9) for side, size in exact.items()}
    for side in sorted(exact, key=lambda side: rooms[side] - exact[side])[: n - sum(rooms.values())]:
        rooms[side] += 1
    for side in asked:
        if rooms[side] == 0:
            rooms[max(rooms, key=lambda side: rooms[side])] -= 1
            rooms[side] = 1
    return dict.fromkeys(shares, 0) | rooms


def _stratify(
    patients: Sequence[str], strata: Mapping[str, Float64], rooms: Mapping[str, int], rng: np.random.Generator
) -> dict[str, str]:
    """A side for every patient, each taking as many as its room.

    The patients that weigh most go first, equal ones in random order, each to the side where it brings the strata
    nearest to their shares: the largest fall of the sum over sides and strata of share x (what is still wanted)^2.
    """
    sides = [side for side, room in rooms.items() if room > 0]
    if not patients:
        return {}
    weights = np.array([strata[patient] for patient in patients])
    held = weights.sum(axis=0)
    weights = weights[:, held > 0] / held[held > 0]
    room = np.array([rooms[side] for side in sides])
    share = (room / room.sum())[:, None]
    wanted = np.ones((len(sides), weights.shape[1]))
    chosen: dict[str, str] = {}
    order = rng.permutation(len(patients))
    for at in order[np.argsort(-weights[order].sum(axis=1), kind="stable")]:
        weight = weights[at]
        gain = (2 * wanted * weight - weight**2 / share).sum(axis=1)
        best = int(np.where(room > 0, gain, -np.inf).argmax())
        wanted[best] -= weight / share[best]
        room[best] -= 1
        chosen[patients[at]] = sides[best]
    return chosen
