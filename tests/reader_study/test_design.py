"""The design is balanced, uses distinct patients, separates repeats, and orders screens at random."""

from __future__ import annotations

import collections
import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthcxr.data import random_streams
from synthcxr.errors import ConfigError, DataError
from synthcxr.reader_study.build import choose_cases
from synthcxr.reader_study.design import ORIGINS, Design, StudyImage, order_screens

DESIGN = Design(n=40, readers=3, repeats=6, practice=4, pairs=6, findings=())
FINDINGS = ("Effusion", "Mass", "No Finding")


def create_images(n: int = 60) -> list[StudyImage]:
    """As many films, two of each patient, as synthetic images; a third has each finding."""
    films = [StudyImage("real", f"film{index}", f"patient{index // 2}", (FINDINGS[index % 3],)) for index in range(n)]
    images = [StudyImage("synthetic", f"image{index}", f"image{index}", (FINDINGS[index % 3],)) for index in range(n)]
    return films + images


def count_origins(images: tuple[StudyImage, ...]) -> collections.Counter[str]:
    return collections.Counter(image.origin for image in images)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), repeats=st.integers(0, 10), pairs=st.integers(0, 8))
def test_a_study_is_balanced(seed: int, repeats: int, pairs: int) -> None:
    """Half of the images are real, only repeats show an image twice, and a repeat follows at least n / 3 - 1 later."""
    design = dataclasses.replace(DESIGN, repeats=repeats, pairs=pairs)
    cases = choose_cases(create_images(), design, seed)
    assert len(set(cases.images)) == len(cases.images)
    assert count_origins(cases.images) == {"real": len(cases.images) // 2, "synthetic": len(cases.images) // 2}
    screens = order_screens(cases, repeats, random_streams.open_stream(seed, 1))
    roles = [screen.role for screen in screens]
    assert roles[:4] == ["practice"] * 4
    assert roles.count("repeat") == repeats
    repeated = [screen for screen in screens if screen.role == "repeat"]
    n_repeated, n_first = (count_origins(tuple(s.images[0] for s in group)) for group in (repeated, screens[4:17]))
    assert all(n_repeated[origin] >= min(repeats // 2, n_first[origin]) for origin in ORIGINS)
    first_position = {screen.images: position for position, screen in enumerate(screens) if screen.role == "case"}
    for position, screen in enumerate(screens):
        if screen.role == "repeat":
            assert position - first_position[screen.images] >= design.n // 3 - 1
    pair_screens = [screen for screen in screens if len(screen.images) == 2 and screen.role == "case"]
    assert len(pair_screens) == pairs
    assert sum(screen.images[0].origin == "real" for screen in pair_screens) == (pairs + 1) // 2
    assert all(screen.finding in image.findings for screen in pair_screens for image in screen.images)
    assert all({image.origin for image in screen.images} == {"real", "synthetic"} for screen in pair_screens)


def test_a_patient_is_shown_twice_only_after_all_others() -> None:
    """Of 30 patients with two films each, as many patients are shown as possible."""
    cases = choose_cases(create_images(), DESIGN, 3)
    films = [image for image in cases.images if image.origin == "real"]
    assert len({film.cluster for film in films}) == min(len(films), 30)


def test_the_seed_determines_the_study() -> None:
    """The same seed gives the same cases, another seed gives others, and readers differ in order."""
    cases = choose_cases(create_images(), DESIGN, 1)
    assert choose_cases(create_images(), DESIGN, 1) == cases
    assert choose_cases(create_images(), DESIGN, 2) != cases
    first, second = (order_screens(cases, 6, random_streams.open_stream(1, stream)) for stream in (1, 2))
    assert first != second


def test_findings_have_the_same_number_of_images() -> None:
    """With requested findings, each has the same number of images of both origins."""
    cases = choose_cases(create_images(), dataclasses.replace(DESIGN, n=24, findings=FINDINGS, repeats=2), 0)
    counts = collections.Counter((case.images[0].origin, case.images[0].findings[0]) for case in cases.singles)
    assert set(counts.values()) == {4}
    assert len(counts) == 6


def test_the_position_does_not_reveal_the_origin() -> None:
    """Over 400 orders, the image at any position is real in half of them."""
    cases = choose_cases(create_images(), DESIGN, 0)
    n_real = np.zeros(46)
    for seed in range(400):
        screens = order_screens(cases, 6, random_streams.open_stream(seed, 1))
        singles = [screen for screen in screens if len(screen.images) == 1 and screen.role != "practice"]
        n_real += [screen.images[0].origin == "real" for screen in singles]
    assert np.abs(n_real / 400 - 0.5).max() < 0.12  # 4.8 standard errors


@pytest.mark.parametrize(
    ("change", "option"),
    [({"n": 7}, "--n"), ({"n": 2}, "--n"), ({"practice": 3}, "--practice"), ({"repeats": 20}, "--repeats")],
)
def test_unbalanced_designs_are_refused(change: dict[str, int], option: str) -> None:
    """Odd numbers and too many repeats are errors that name the option."""
    with pytest.raises(ConfigError, match=option):
        dataclasses.replace(DESIGN, **change).check()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 200}, "real images"),
        ({"findings": ("Hernia",)}, "real images with Hernia"),
        ({"pairs": 50}, "pairs with a finding in common"),
    ],
)
def test_too_few_images_are_an_error_that_names_the_kind(change: dict[str, object], message: str) -> None:
    """The error names the origin and finding that are missing."""
    with pytest.raises(DataError, match=message):
        choose_cases(create_images(), dataclasses.replace(DESIGN, **change), 0)  # type: ignore[arg-type]


def test_without_films_there_are_no_pairs() -> None:
    """Synthetic images alone are a study for teaching; pairs are refused."""
    synthetic = [image for image in create_images() if image.origin == "synthetic"]
    cases = choose_cases(synthetic, dataclasses.replace(DESIGN, pairs=0), 0)
    assert count_origins(cases.images) == {"synthetic": 40}
    with pytest.raises(ConfigError, match="--pairs"):
        choose_cases(synthetic, DESIGN, 0)
