"""The split of patients into train, judge, val and test, stratified by source, view and finding."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from synthcxr.config.schema import SplitShares
from synthcxr.data import random_streams
from synthcxr.data.films import Film
from synthcxr.data.findings import to_finding_names
from synthcxr.errors import DataError

TEST, TRAIN = "test", "train"
TRAIN_VAL = "train_val"

Float64 = NDArray[np.float64]


def split_patients(
    films: Sequence[Film],
    shares: SplitShares,
    seed: int,
    *,
    earlier: Mapping[str, str] | None = None,
    unlabelled_test_share: float = 0.0,
) -> dict[str, str]:
    """Assign each film, by its image index, to the split of its patient; `shares` are shares of the patients.

    A patient on a source's official test list is in test, one on its train_val list never is; patients on neither list
    fill test up to its share. Patients without any label, on neither list, are in train, where only the GAN learns from
    their films, but for `unlabelled_test_share` of them, which are in test. They do not influence the splits of the
    other patients. The same films and seed give the same split, whatever the order of the films.

    `earlier` are splits that patients keep; the other patients fill the splits up to their shares of all patients.
    Raises DataError for fewer patients than splits, for a patient on both lists, and for a patient on the test list
    whom another split keeps.
    """
    earlier = earlier or {}
    official_lists = _collect_official_lists(films)
    _check_earlier_splits(earlier, official_lists)
    without_labels = _find_unlabelled_patients(films, official_lists, shares)
    unlabelled = without_labels - earlier.keys()
    patients = sorted(official_lists.keys() - unlabelled - earlier.keys())
    split_shares = dataclasses.asdict(shares)
    strata = dict(zip(patients, _compute_strata(films, patients), strict=True))
    rng = random_streams.open_stream(seed, 0)

    official_test = [patient for patient in patients if official_lists[patient] == TEST]
    unlisted = [patient for patient in patients if not official_lists[patient]]
    n_earlier = collections.Counter(split for patient, split in earlier.items() if patient not in without_labels)
    sizes = _allocate(len(patients) + n_earlier.total(), split_shares)
    n_test = min(max(sizes[TEST] - n_earlier[TEST] - len(official_test), 0), len(unlisted))
    halves = _stratify(unlisted, strata, {TEST: n_test, TRAIN_VAL: len(unlisted) - n_test}, rng)

    splits = dict.fromkeys(official_test, TEST) | {patient: TEST for patient in unlisted if halves[patient] == TEST}
    remaining = [patient for patient in patients if patient not in splits]
    remaining_shares = {split: share for split, share in split_shares.items() if split != TEST}
    if earlier:
        missing = {split: float(max(sizes[split] - n_earlier[split], 0)) for split in remaining_shares}
        weights = missing if any(missing.values()) else remaining_shares
        largest = sorted(weights, key=lambda split: -weights[split])[: max(len(remaining), 1)]
        remaining_shares = {split: weights[split] for split in largest}
    if remaining or not earlier:
        splits |= _stratify(remaining, strata, _allocate(len(remaining), remaining_shares), rng)
    splits |= earlier
    n_test = round(unlabelled_test_share * len(without_labels))
    n_test -= sum(earlier.get(patient) == TEST for patient in without_labels)
    splits |= _split_unlabelled(films, sorted(unlabelled), n_test, random_streams.open_stream(seed, 1))
    return {film.image_index: splits[film.patient_id] for film in films}


def _split_unlabelled(
    films: Sequence[Film], patients: Sequence[str], n_test: int, rng: np.random.Generator
) -> dict[str, str]:
    """Put `n_test` of the patients into test and the others into train, alike in source and view."""
    n_test = min(max(n_test, 0), len(patients))
    if not n_test:
        return dict.fromkeys(patients, TRAIN)
    strata = dict(zip(patients, _compute_strata(films, patients), strict=True))
    return _stratify(patients, strata, {TEST: n_test, TRAIN: len(patients) - n_test}, rng)


def check_patients(films: Sequence[Film], shares: SplitShares, *, earlier: Mapping[str, str] | None = None) -> None:
    """Raise the errors of `split_patients` that do not depend on the pixels of the films."""
    official_lists = _collect_official_lists(films)
    _check_earlier_splits(earlier or {}, official_lists)
    unlabelled = _find_unlabelled_patients(films, official_lists, shares)
    _allocate(len(official_lists) - len(unlabelled), dataclasses.asdict(shares))


def _check_earlier_splits(earlier: Mapping[str, str], official_lists: Mapping[str, str]) -> None:
    for patient, split in earlier.items():
        if split != TEST and official_lists[patient] == TEST:
            raise DataError(
                f"patient {patient} is on the official test list, but in {split} in the earlier dataset; correct the"
                " list, or leave prepare.splits_from out"
            )


def _find_unlabelled_patients(
    films: Sequence[Film], official_lists: Mapping[str, str], shares: SplitShares
) -> frozenset[str]:
    """The patients on no official list without any known finding, if the others suffice for all splits."""
    labelled = {film.patient_id for film in films if not all(map(math.isnan, film.findings))}
    if not shares.train or len(labelled) < sum(share > 0 for share in dataclasses.asdict(shares).values()):
        return frozenset()
    return frozenset(patient for patient, name in official_lists.items() if not name and patient not in labelled)


def _collect_official_lists(films: Sequence[Film]) -> dict[str, str]:
    """The official list of each patient, "" for none."""
    official_lists: dict[str, str] = {}
    for film in films:
        known = official_lists.get(film.patient_id, "")
        if known and film.official and film.official != known:
            raise DataError(f"patient {film.patient_id} is on both official lists, {TRAIN_VAL} and {TEST}")
        official_lists[film.patient_id] = known or film.official
    return official_lists


def _compute_strata(films: Sequence[Film], patients: Sequence[str]) -> Float64:
    """Each patient's share of the films of each stratum, [patients, strata]."""
    row = {patient: index for index, patient in enumerate(patients)}
    column: dict[tuple[str, str], int] = {}
    cells = [
        (row[film.patient_id], column.setdefault(stratum, len(column)))
        for film in sorted(films, key=lambda film: film.image_index)
        if film.patient_id in row
        for stratum in (
            ("source", film.source),
            ("view", film.view),
            *(("finding", finding) for finding in to_finding_names(film.findings)),
        )
    ]
    counts = np.zeros((len(patients), len(column)))
    np.add.at(counts, tuple(np.array(cells).T), 1.0)
    counts /= counts.sum(axis=0)
    return counts


def _allocate(n: int, shares: Mapping[str, float]) -> dict[str, int]:
    """The size of each split of `n` patients, by the largest remainder method, and at least 1 for a positive share."""
    positive = {split: share for split, share in shares.items() if share > 0}
    if n < len(positive) or not positive:
        cause = (
            "all films have the same patient ID, which de-identification may have written; give a column of patient IDs"
            " in the table of labels, or "
            if n == 1
            else ""
        )
        raise DataError(
            f"{n} patients are too few for the splits {', '.join(positive)}; {cause}add patients, or set a share to 0"
        )
    total = math.fsum(positive.values())
    exact = {split: n * share / total for split, share in positive.items()}
    sizes = {split: math.floor(size + 1e-9) for split, size in exact.items()}
    for split in sorted(exact, key=lambda split: sizes[split] - exact[split])[: n - sum(sizes.values())]:
        sizes[split] += 1
    for split in positive:
        if sizes[split] == 0:
            sizes[max(sizes, key=lambda split: sizes[split])] -= 1
            sizes[split] = 1
    return dict.fromkeys(shares, 0) | sizes


def _stratify(
    patients: Sequence[str], strata: Mapping[str, Float64], sizes: Mapping[str, int], rng: np.random.Generator
) -> dict[str, str]:
    """Assign patients to splits of the given sizes so that each stratum is divided like the patients.

    The patients with the largest shares of strata are assigned first, equal ones in random order. Each goes to the
    split where it most reduces the sum over splits and strata of share x (share of the stratum that is missing)^2.
    """
    splits = [split for split, size in sizes.items() if size > 0]
    if not patients:
        return {}
    weights = np.array([strata[patient] for patient in patients])
    totals = weights.sum(axis=0)
    weights = weights[:, totals > 0] / totals[totals > 0]
    room = np.array([sizes[split] for split in splits])
    share = (room / room.sum())[:, None]
    missing = np.ones((len(splits), weights.shape[1]))
    assigned: dict[str, str] = {}
    order = rng.permutation(len(patients))
    for patient in order[np.argsort(-weights[order].sum(axis=1), kind="stable")]:
        weight = weights[patient]
        gain = (2 * missing * weight - weight**2 / share).sum(axis=1)
        best = int(np.where(room > 0, gain, -np.inf).argmax())
        missing[best] -= weight / share[best]
        room[best] -= 1
        assigned[patients[patient]] = splits[best]
    return assigned
