"""What is shown: balanced, of distinct patients, repeats far apart, pairs alike, every order another."""

from __future__ import annotations

import collections
import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthcxr.data import random_streams
from synthcxr.errors import ConfigError, DataError
from synthcxr.reader_study import build
from synthcxr.reader_study import design as plan
from synthcxr.reader_study.design import Candidate, Design

DESIGN = Design(n=40, readers=3, repeats=6, practice=4, pairs=6, findings=())
KINDS = ("Effusion", "Mass", "No Finding")


def candidates(n: int = 60) -> list[Candidate]:
    """As many films, two of each patient, as synthetic images; a third shows each kind."""
    films = [Candidate("real", f"film{at}", f"patient{at // 2}", (KINDS[at % 3],)) for at in range(n)]
    return films + [Candidate("synthetic", f"image{at}", f"image{at}", (KINDS[at % 3],)) for at in range(n)]


def origins(images: tuple[Candidate, ...]) -> collections.Counter[str]:
    return collections.Counter(candidate.origin for candidate in images)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), repeats=st.integers(0, 10), pairs=st.integers(0, 8))
def test_a_study_is_balanced(seed: int, repeats: int, pairs: int) -> None:
    """Half real and half synthetic in every part, no image twice but the repeats, which come last."""
    design = dataclasses.replace(DESIGN, repeats=repeats, pairs=pairs)
    cases = build.choose(candidates(), design, seed)
    assert len(set(cases.images)) == len(cases.images)
    assert origins(cases.images) == {"real": len(cases.images) // 2, "synthetic": len(cases.images) // 2}
    order = plan.order(cases, repeats, random_streams.open_stream(seed, 1))
    roles = [showing.role for showing in order]
    assert roles[:4] == ["practice"] * 4
    assert roles.count("repeat") == repeats
    again = [showing for showing in order if showing.role == "repeat"]
    shown, early = (origins(tuple(s.images[0] for s in held)) for held in (again, order[4:17]))
    assert all(shown[origin] >= min(repeats // 2, early[origin]) for origin in plan.ORIGINS)
    first = {showing.images: at for at, showing in enumerate(order) if showing.role == "case"}
    for at, showing in enumerate(order):
        if showing.role == "repeat":
            assert at - first[showing.images] >= design.n // 3 - 1
    sided = [showing for showing in order if len(showing.images) == 2 and showing.role == "case"]
    assert len(sided) == pairs
    assert sum(showing.images[0].origin == "real" for showing in sided) == (pairs + 1) // 2
    assert all(showing.finding in image.findings for showing in sided for image in showing.images)
    assert all({image.origin for image in showing.images} == {"real", "synthetic"} for showing in sided)


def test_patients_come_once_while_there_are_others() -> None:
    """30 patients with two films each give 24 films of 24 patients."""
    cases = build.choose(candidates(), DESIGN, 3)
    films = [candidate for candidate in cases.images if candidate.origin == "real"]
    assert len({film.cluster for film in films}) == min(len(films), 30)


def test_the_seed_decides() -> None:
    """The same seed gives the same study, another one another, and readers differ in order."""
    first = build.choose(candidates(), DESIGN, 1)
    assert build.choose(candidates(), DESIGN, 1) == first
    assert build.choose(candidates(), DESIGN, 2) != first
    assert plan.order(first, 6, random_streams.open_stream(1, 1)) != plan.order(first, 6, random_streams.open_stream(1, 2))


def test_strata_are_of_equal_size() -> None:
    """With findings asked for, each of them is shown equally often by both origins."""
    cases = build.choose(candidates(), dataclasses.replace(DESIGN, n=24, findings=KINDS, repeats=2), 0)
    counts = collections.Counter((c.images[0].origin, c.images[0].findings[0]) for c in cases.singles)
    assert set(counts.values()) == {4}
    assert len(counts) == 6


def test_order_does_not_tell_the_origin() -> None:
    """Over many studies an image at any place of the order is real in half of them."""
    cases = build.choose(candidates(), DESIGN, 0)
    real = np.zeros(46)
    for seed in range(400):
        order = [
            s
            for s in plan.order(cases, 6, random_streams.open_stream(seed, 1))
            if len(s.images) == 1 and s.role != "practice"
        ]
        real += [showing.images[0].origin == "real" for showing in order]
    assert np.abs(real / 400 - 0.5).max() < 0.12  # 4.8 standard errors


@pytest.mark.parametrize(
    ("change", "word"),
    [({"n": 7}, "--n"), ({"n": 2}, "--n"), ({"practice": 3}, "--practice"), ({"repeats": 20}, "--repeats")],
)
def test_what_cannot_be_balanced_is_refused(change: dict[str, int], word: str) -> None:
    """Odd numbers and too many repeats are refused by the name of the option."""
    with pytest.raises(ConfigError, match=word):
        dataclasses.replace(DESIGN, **change).check()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": 200}, "real images"),
        ({"findings": ("Hernia",)}, "real images with Hernia"),
        ({"pairs": 50}, "pairs with a finding in common"),
    ],
)
def test_too_few_images_are_said_by_kind(change: dict[str, object], words: str) -> None:
    """What is missing is named."""
    with pytest.raises(DataError, match=words):
        build.choose(candidates(), dataclasses.replace(DESIGN, **change), 0)  # type: ignore[arg-type]


def test_without_films_there_are_no_pairs() -> None:
    """Synthetic images alone make a set to teach with; pairs are refused."""
    made = [candidate for candidate in candidates() if candidate.origin == "synthetic"]
    cases = build.choose(made, dataclasses.replace(DESIGN, pairs=0), 0)
    assert origins(cases.images) == {"synthetic": 40}
    with pytest.raises(ConfigError, match="--pairs"):
        build.choose(made, DESIGN, 0)
