"""The split of patients into train, judge, val and test."""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthcxr.config.schema import SplitShares
from synthcxr.data.films import SPLITS, Film
from synthcxr.data.findings import FINDINGS, UNKNOWN_FINDINGS, to_multi_hot
from synthcxr.data.patient_split import check_patients, split_patients
from synthcxr.errors import DataError
from synthcxr.readers import nih

SHARES = SplitShares(train=0.50, judge=0.20, val=0.12, test=0.18)


def _film(name: str, patient: str, findings: Sequence[str] = (), *, source: str = "a", official: str = "") -> Film:
    return Film(
        image_index=name,
        patient_id=patient,
        source=source,
        view="PA",
        findings=to_multi_hot(findings),
        read=lambda: np.zeros((8, 8), dtype=np.float32),
        read_size=lambda: 8,
        origin=name,
        official=official,
    )


def _splits_by_patient(films: Sequence[Film], splits: dict[str, str]) -> dict[str, set[str]]:
    """The splits that contain a film of each patient."""
    by_patient: dict[str, set[str]] = collections.defaultdict(set)
    for film in films:
        by_patient[film.patient_id].add(splits[film.image_index])
    return by_patient


def test_shares_of_patients_are_exact() -> None:
    """100 patients with one to nine films each are split into 50, 20, 12 and 18."""
    films = [_film(f"{p}_{k}", str(p)) for p in range(100) for k in range(p % 9 + 1)]
    by_patient = _splits_by_patient(films, split_patients(films, SHARES, seed=1))
    counts = collections.Counter(split for (split,) in by_patient.values())
    assert counts == {"train": 50, "judge": 20, "val": 12, "test": 18}


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 25), st.sampled_from(FINDINGS)), max_size=40),
    st.integers(0, 2**32),
)
def test_each_patient_is_in_one_split_and_no_split_is_empty(labels: list[tuple[int, str]], seed: int) -> None:
    """For any patients and findings, each patient is in exactly one split and each split has a patient."""
    films = [_film(f"first {patient}", str(patient)) for patient in range(4)]
    films += [_film(str(index), str(patient), [finding]) for index, (patient, finding) in enumerate(labels)]
    by_patient = _splits_by_patient(films, split_patients(films, SHARES, seed))
    assert all(len(splits) == 1 for splits in by_patient.values())
    assert set.union(*by_patient.values()) == set(SPLITS)


def test_the_same_films_and_seed_give_the_same_split_in_any_order() -> None:
    """The order of the films does not matter; another seed gives another split."""
    films = [_film(f"{p}_{k}", str(p), ["Mass"] if p % 7 == 0 else []) for p in range(60) for k in range(p % 3 + 1)]
    first = split_patients(films, SHARES, seed=1)
    assert split_patients(films[::-1], SHARES, seed=1) == first
    assert split_patients(films, SHARES, seed=2) != first


def test_findings_and_sources_are_stratified() -> None:
    """A finding of 25 films and a small source are divided like the patients, within two films."""
    rng = np.random.default_rng(3)
    films = [
        _film(
            str(index),
            str(index // 2),
            ["Hernia"] if index % 20 == 0 else [],
            source="small" if rng.random() < 0.1 else "large",
        )
        for index in range(500)
    ]
    splits = split_patients(films, SHARES, seed=1)
    for stratum in (
        [film for film in films if film.findings[FINDINGS.index("Hernia")]],
        [film for film in films if film.source == "small"],
    ):
        counts = collections.Counter(splits[film.image_index] for film in stratum)
        for split, share in vars(SHARES).items():
            assert abs(counts[split] - share * len(stratum)) <= 2


def test_the_official_test_list_is_the_test_split() -> None:
    """Patients on the test list are in test, those on the train_val list never; the other splits keep their shares."""
    films = [_film(f"t{p}", f"t{p}", official="test") for p in range(30)]
    films += [_film(f"k{p}", f"k{p}", official="train_val") for p in range(70)]
    splits = split_patients(films, SHARES, seed=1)
    counts = collections.Counter(splits.values())
    assert {film.image_index for film in films if splits[film.image_index] == "test"} == {f"t{p}" for p in range(30)}
    assert counts["train"] == round(70 * 0.50 / 0.82)


def test_patients_on_neither_list_fill_the_test_split() -> None:
    """With one source with lists and one without, only patients of the latter fill test up to its share."""
    films = [_film(f"t{p}", f"t{p}", official="test") for p in range(4)]
    films += [_film(f"k{p}", f"k{p}", official="train_val") for p in range(46)]
    films += [_film(f"f{p}", f"f{p}", source="free") for p in range(50)]
    splits = split_patients(films, SHARES, seed=1)
    counts = collections.Counter(name[0] for name, split in splits.items() if split == "test")
    assert counts == {"t": 4, "f": 14}


def test_a_patient_on_both_official_lists_is_an_error() -> None:
    """The error names the patient."""
    films = [_film("a", "61", official="test"), _film("b", "61", official="train_val")]
    with pytest.raises(DataError, match="patient 61 is on both official lists"):
        split_patients(films, SHARES, seed=1)


def test_four_patients_fill_four_splits_and_three_are_too_few() -> None:
    """Each split with a positive share has at least one patient; with fewer patients there is an error."""
    assert set(split_patients([_film(str(p), str(p)) for p in range(4)], SHARES, seed=1).values()) == set(SPLITS)
    with pytest.raises(DataError, match="patients are too few for the splits"):
        split_patients([_film(str(p), str(p)) for p in range(3)], SHARES, seed=1)


def test_one_patient_for_all_films_is_an_error_with_cause_and_remedy() -> None:
    """The error names de-identification as a possible cause, and a column of patient IDs as the remedy."""
    films = [_film(str(index), "anon-7") for index in range(20)]
    for split in (functools.partial(split_patients, seed=1), check_patients):
        with pytest.raises(DataError, match="the same patient ID, which de-identification may have written; give a"):
            split(films, SHARES)


def test_a_split_with_share_0_is_empty() -> None:
    """No patient is assigned to a split whose share is 0."""
    films = [_film(str(p), str(p)) for p in range(20)]
    splits = split_patients(films, SplitShares(train=0.8, judge=0.0, val=0.0, test=0.2), seed=1)
    assert collections.Counter(splits.values()) == {"train": 16, "test": 4}


def test_films_with_unknown_findings_are_split() -> None:
    """Films without a known finding are in a split like all others."""
    films = [_film(str(p), str(p)) for p in range(10)]
    unknown = [Film(**(vars(film) | {"findings": UNKNOWN_FINDINGS})) for film in films]
    assert len(split_patients(unknown, SHARES, seed=1)) == 10


def test_real_films_of_two_sources_are_stratified() -> None:
    """For 2,137 real films, the count of each finding in each split is within 2 films, or 5 %, of its share."""
    root = os.environ.get("SYNTHCXR_TEST_FILMS")
    if not root:
        pytest.skip("no real films: set SYNTHCXR_TEST_FILMS to their folder")
    films = [film for name in ("nih_256", "nih_64") for film in nih.read_films(str(Path(root) / name))]
    splits = split_patients(films, SHARES, seed=1)
    assert all(len(of_patient) == 1 for of_patient in _splits_by_patient(films, splits).values())
    for index, finding in enumerate(FINDINGS):
        counts = collections.Counter(splits[film.image_index] for film in films if film.findings[index] == 1.0)
        for split, share in vars(SHARES).items():
            expected = share * sum(counts.values())
            assert math.isclose(counts[split], expected, rel_tol=0.05, abs_tol=2), (finding, split)


def test_patients_of_an_earlier_dataset_keep_their_splits() -> None:
    """New patients fill the splits up to their shares of all patients; without earlier ones, nothing changes."""
    films = [_film(f"{p}", f"{p:03}", FINDINGS[p % 14 : p % 14 + 1]) for p in range(100)]
    first = split_patients(films[:40], SHARES, seed=1)
    earlier = {f"{int(name):03}": split for name, split in first.items()}
    enlarged = split_patients(films, SHARES, seed=2, earlier=earlier)
    assert enlarged.items() >= first.items()
    assert collections.Counter(enlarged.values()) == {"train": 50, "judge": 20, "val": 12, "test": 18}
    assert split_patients(films, SHARES, seed=1, earlier={}) == split_patients(films, SHARES, seed=1)
    assert split_patients(films[:40], SHARES, seed=2, earlier=earlier) == first
    one_more = split_patients(films[:41], SHARES, seed=2, earlier=earlier)
    assert one_more.items() >= first.items() and len(one_more) == 41


def test_an_earlier_split_against_an_official_list_is_an_error() -> None:
    """A patient on the test list whom the earlier dataset has in train is named."""
    films = [_film(str(p), str(p), official="test" if p == 3 else "") for p in range(10)]
    for split in (functools.partial(split_patients, seed=1), check_patients):
        with pytest.raises(DataError, match="patient 3 is on the official test list, but in train in the earlier"):
            split(films, SHARES, earlier={"3": "train"})
    check_patients(films, SHARES, earlier={"3": "test"})
    assert split_patients(films, SHARES, seed=1, earlier={"3": "test"})["3"] == "test"


def test_unlabelled_patients_are_in_train() -> None:
    """Nothing can be measured on films without labels; a dataset without any label is split as usual."""
    films = [_film(str(p), str(p), FINDINGS[:1]) for p in range(20)]
    films += [
        dataclasses.replace(film, findings=UNKNOWN_FINDINGS) for film in (_film(f"u{p}", f"u{p}") for p in range(30))
    ]
    splits = split_patients(films, SHARES, seed=1)
    assert {splits[f"u{p}"] for p in range(30)} == {"train"}
    assert collections.Counter(splits[str(p)] for p in range(20)) == {"train": 10, "judge": 4, "val": 2, "test": 4}
    assert set(split_patients(films[20:], SHARES, seed=1).values()) == set(SPLITS)


def test_a_share_of_the_unlabelled_patients_is_held_out() -> None:
    """That share, of each source, is in test; patients keep their splits; the labelled ones are split as without it."""
    labelled = [_film(str(p), str(p), FINDINGS[:1]) for p in range(20)]
    unlabelled = [
        dataclasses.replace(_film(f"u{p}_{k}", f"u{p}", source="ab"[p % 2]), findings=UNKNOWN_FINDINGS)
        for p in range(40)
        for k in range(p % 3 + 1)
    ]
    films = labelled + unlabelled
    splits = split_patients(films, SHARES, seed=1, unlabelled_test_share=0.1)
    by_patient = _splits_by_patient(films, splits)
    held_out = [patient for patient, split in by_patient.items() if patient[0] == "u" and split == {"test"}]
    assert collections.Counter(int(patient[1:]) % 2 for patient in held_out) == {0: 2, 1: 2}
    assert all(split in ({"train"}, {"test"}) for patient, split in by_patient.items() if patient[0] == "u")
    without = split_patients(films, SHARES, seed=1)
    assert {film.image_index: splits[film.image_index] for film in labelled} == {
        film.image_index: without[film.image_index] for film in labelled
    }
    earlier = {film.patient_id: splits[film.image_index] for film in labelled + unlabelled[:20]}
    enlarged = split_patients(films, SHARES, seed=2, earlier=earlier, unlabelled_test_share=0.1)
    assert (
        sum(split == {"test"} for patient, split in _splits_by_patient(films, enlarged).items() if "u" in patient) == 4
    )


def test_unlabelled_patients_of_an_earlier_dataset_do_not_count() -> None:
    """The shares are those of the patients with labels, so that new ones are not all in test."""
    films = [_film(f"{p}", f"{p:03}", FINDINGS[p % 14 : p % 14 + 1]) for p in range(100)]
    unlabelled = [dataclasses.replace(_film(f"u{p}", f"u{p:03}"), findings=UNKNOWN_FINDINGS) for p in range(300)]
    first = split_patients([*films[:60], *unlabelled], SHARES, seed=1)
    earlier = {film.patient_id: first[film.image_index] for film in [*films[:60], *unlabelled]}
    enlarged = split_patients([*films, *unlabelled], SHARES, seed=1, earlier=earlier)
    assert enlarged.items() >= first.items()
    counts = collections.Counter(enlarged[film.image_index] for film in films)
    assert counts == {"train": 50, "judge": 20, "val": 12, "test": 18}
