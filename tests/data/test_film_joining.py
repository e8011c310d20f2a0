"""Joining the patients of films with the same picture."""

from __future__ import annotations

import math

from synthcxr.data.film_joining import join_same_films, unify_patients
from synthcxr.data.films import Film
from synthcxr.data.findings import FINDINGS, NO_FINDING, UNKNOWN_FINDINGS, to_finding_names, to_multi_hot

HEALTHY = to_multi_hot([NO_FINDING])


def _film(name: str, patient: str, findings: tuple[float, ...] = HEALTHY, official: str = "") -> Film:
    def refuse() -> object:
        raise AssertionError("pixels are not read")

    return Film(name, patient, "a", "PA", findings, refuse, refuse, name, official)  # type: ignore[arg-type]


def test_films_with_the_same_picture_are_of_one_patient() -> None:
    """All films of both patients get one ID, also films that are in no group; other patients keep theirs."""
    films = [_film("a0", "p"), _film("a1", "p"), _film("b0", "q"), _film("b1", "q"), _film("c", "r")]
    joined = join_same_films(films, [(1, 2)])
    assert [film.patient_id for film in joined.films] == ["p", "p", "p", "p", "r"]
    assert not joined.contradictions


def test_joined_patient_keeps_a_plain_number() -> None:
    """The number of a public dataset stays the ID, in whatever order the films are."""
    assert unify_patients([("folder:x.png", "61"), ("61", "mimic:p1")]) == dict.fromkeys(
        ("folder:x.png", "61", "mimic:p1"), "61"
    )


def test_contradictory_findings_become_unknown_and_are_named() -> None:
    """Only the findings that contradict are unknown; an unknown label contradicts nothing."""
    films = [
        _film("a", "p", to_multi_hot(["Mass", "Edema"])),
        _film("b", "q", to_multi_hot(["Edema"])),
        _film("c", "r", UNKNOWN_FINDINGS),
    ]
    joined = join_same_films(films, [(0, 1, 2)])
    assert joined.contradictions == ("a and b and 1 more show the same picture, but their labels contradict: Mass",)
    for film in joined.films[:2]:
        assert [name for name, value in zip(FINDINGS, film.findings, strict=True) if math.isnan(value)] == ["Mass"]
        assert to_finding_names(film.findings) == ("Edema",)
    assert not join_same_films(films, [(0, 2)]).contradictions


def test_patient_on_both_official_lists_is_no_test_patient() -> None:
    """Joined patients of different official lists are all on train_val, which is named."""
    films = [_film("a", "1", official="test"), _film("b", "2", official="train_val"), _film("c", "1", official="test")]
    joined = join_same_films(films, [(0, 1)])
    assert {film.official for film in joined.films} == {"train_val"}
    (contradiction,) = joined.contradictions
    assert contradiction == "a and b show the same picture, but their patients are on different official lists"
