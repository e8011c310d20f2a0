"""The split by patient."""

from __future__ import annotations

import collections
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthcxr.config.schema import Shares
from synthcxr.data import findings as labels
from synthcxr.data import records
from synthcxr.data.patient_split import split
from synthcxr.data.records import Film
from synthcxr.errors import DataError
from synthcxr.readers import nih

SHARES = Shares(train=0.50, judge=0.20, val=0.12, test=0.18)


def _film(name: str, patient: str, findings: Sequence[str] = (), *, source: str = "a", official: str = "") -> Film:
    return Film(
        image_index=name,
        patient_id=patient,
        source=source,
        view="PA",
        findings=labels.vector(findings),
        read=lambda: np.zeros((8, 8), dtype=np.float32),
        read_size=lambda: 8,
        origin=name,
        official=official,
    )


def _sides(films: Sequence[Film], chosen: dict[str, str]) -> dict[str, set[str]]:
    """The sides on which each patient stands."""
    sides: dict[str, set[str]] = collections.defaultdict(set)
    for film in films:
        sides[film.patient_id].add(chosen[film.image_index])
    return sides


def test_shares_are_of_patients_and_exact() -> None:
    """100 patients of one to nine films stand 50, 20, 12 and 18 to a side."""
    films = [_film(f"{p}_{k}", str(p)) for p in range(100) for k in range(p % 9 + 1)]
    sides = _sides(films, split(films, SHARES, seed=1))
    counts = collections.Counter(side for (side,) in sides.values())
    assert counts == {"train": 50, "judge": 20, "val": 12, "test": 18}


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 25), st.sampled_from(labels.FINDINGS)), max_size=40),
    st.integers(0, 2**32),
)
def test_no_patient_stands_on_two_sides_and_no_side_is_empty(drawn: list[tuple[int, str]], seed: int) -> None:
    """Whatever patients and findings there are, every patient has one side and every side a patient."""
    films = [_film(f"first {patient}", str(patient)) for patient in range(4)]
    films += [_film(str(at), str(patient), [finding]) for at, (patient, finding) in enumerate(drawn)]
    sides = _sides(films, split(films, SHARES, seed))
    assert all(len(of_patient) == 1 for of_patient in sides.values())
    assert {side for of_patient in sides.values() for side in of_patient} == set(records.SPLITS)


def test_the_same_films_and_seed_give_the_same_split_in_any_order() -> None:
    """The order of films, and so of files and sources, decides nothing; the seed does."""
    films = [_film(f"{p}_{k}", str(p), ["Mass"] if p % 7 == 0 else []) for p in range(60) for k in range(p % 3 + 1)]
    first = split(films, SHARES, seed=1)
    assert split(films[::-1], SHARES, seed=1) == first
    assert split(films, SHARES, seed=2) != first


def test_findings_and_sources_keep_their_shares() -> None:
    """A finding of 25 films and a small source are spread as the patients are, to a film or two."""
    rng = np.random.default_rng(3)
    films = [
        _film(
            str(at), str(at // 2), ["Hernia"] if at % 20 == 0 else [], source="small" if rng.random() < 0.1 else "large"
        )
        for at in range(500)
    ]
    chosen = split(films, SHARES, seed=1)
    for of_kind in (
        [film for film in films if film.findings[labels.FINDINGS.index("Hernia")]],
        [film for film in films if film.source == "small"],
    ):
        counts = collections.Counter(chosen[film.image_index] for film in of_kind)
        for side, share in vars(SHARES).items():
            assert abs(counts[side] - share * len(of_kind)) <= 2


def test_an_official_test_list_is_kept() -> None:
    """Patients of the test list stand in test, those of the other never; the rest keep their shares."""
    films = [_film(f"t{p}", f"t{p}", official="test") for p in range(30)]
    films += [_film(f"k{p}", f"k{p}", official="train_val") for p in range(70)]
    chosen = split(films, SHARES, seed=1)
    counts = collections.Counter(chosen.values())
    assert {film.image_index for film in films if chosen[film.image_index] == "test"} == {f"t{p}" for p in range(30)}
    assert counts["train"] == round(70 * 0.50 / 0.82)


def test_test_is_filled_up_from_patients_of_neither_list() -> None:
    """Where a source without lists stands beside one with, test reaches its share from the former alone."""
    films = [_film(f"t{p}", f"t{p}", official="test") for p in range(4)]
    films += [_film(f"k{p}", f"k{p}", official="train_val") for p in range(46)]
    films += [_film(f"f{p}", f"f{p}", source="free") for p in range(50)]
    chosen = split(films, SHARES, seed=1)
    held = collections.Counter(name[0] for name, side in chosen.items() if side == "test")
    assert held == {"t": 4, "f": 14}


def test_a_patient_in_both_official_lists_is_refused() -> None:
    """The message names the patient."""
    films = [_film("a", "61", official="test"), _film("b", "61", official="train_val")]
    with pytest.raises(DataError, match="patient 61 stands in both official lists"):
        split(films, SHARES, seed=1)


def test_four_patients_stand_on_four_sides_and_three_are_too_few() -> None:
    """Every side with a share has at least one patient, or the split is refused with the number there is."""
    assert set(split([_film(str(p), str(p)) for p in range(4)], SHARES, seed=1).values()) == set(records.SPLITS)
    with pytest.raises(DataError, match="patients are too few for the sides"):
        split([_film(str(p), str(p)) for p in range(3)], SHARES, seed=1)


def test_a_side_without_a_share_gets_nobody() -> None:
    """A share of 0 is none at all."""
    films = [_film(str(p), str(p)) for p in range(20)]
    chosen = split(films, Shares(train=0.8, judge=0.0, val=0.0, test=0.2), seed=1)
    assert collections.Counter(chosen.values()) == {"train": 16, "test": 4}


def test_unknown_findings_are_no_finding_of_their_own() -> None:
    """Films of which nothing is known are split like others."""
    films = [_film(str(p), str(p)) for p in range(10)]
    unknown = [Film(**(vars(film) | {"findings": labels.UNKNOWN})) for film in films]
    assert len(split(unknown, SHARES, seed=1)) == 10


def test_real_films_of_two_sources_are_split_evenly() -> None:
    """Of the 2,137 real films each finding's count on each side is within 2 films, or 5 %, of its share."""
    root = os.environ.get("SYNTHCXR_TEST_FILMS")
    if not root:
        pytest.skip("SYNTHCXR_TEST_FILMS names no folder of real films")
    films = [film for name in ("nih_256", "nih_64") for film in nih.read(str(Path(root) / name))]
    chosen = split(films, SHARES, seed=1)
    assert all(len(sides) == 1 for sides in _sides(films, chosen).values())
    for at, finding in enumerate(labels.FINDINGS):
        held = collections.Counter(chosen[film.image_index] for film in films if film.findings[at] == 1.0)
        for side, share in vars(SHARES).items():
            wanted = share * sum(held.values())
            assert math.isclose(held[side], wanted, rel_tol=0.05, abs_tol=2), (finding, side)
