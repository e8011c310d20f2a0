"""Sources of params.yaml: options checked, films of several sources merged."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthcxr.data.films import Film
from synthcxr.errors import ConfigError, DataError
from synthcxr.readers import sources


def _film(name: str, patient: str, size: int | None, *, source: str = "a", official: str = "") -> Film:
    def read_size() -> int:
        if size is None:
            raise DataError(f"{name}: not a readable image")
        return size

    return Film(
        image_index=name,
        patient_id=patient,
        source=source,
        view="PA",
        findings=(math.nan,) * 14,
        read=lambda: np.zeros((8, 8), dtype=np.float32),
        read_size=read_size,
        origin=f"{source}/{name}",
        official=official,
    )


def test_of_one_image_index_the_largest_film_is_kept() -> None:
    """Whichever source comes first; of equals it is the first, and a film that cannot be read loses."""
    films = [
        _film("x", "1", 64, source="a"),
        _film("y", "2", 64, source="a"),
        _film("z", "3", None, source="a"),
        _film("x", "1", 256, source="b"),
        _film("y", "2", 64, source="b"),
        _film("z", "3", 8, source="b"),
    ]
    assert {film.image_index: film.source for film in sources.merge_films(films)} == {"x": "b", "y": "a", "z": "b"}


def test_the_official_side_is_kept_from_whichever_source_knows_it() -> None:
    """A larger copy without the lists does not make a test film a training film."""
    films = [_film("x", "1", 64, official="test"), _film("x", "1", 256, source="b")]
    (film,) = sources.merge_films(films)
    assert (film.source, film.official) == ("b", "test")


def test_films_of_one_image_index_make_their_patients_one() -> None:
    """A source that calls each film its own patient cannot pull a known patient's films apart."""
    films = [
        _film("x", "61", 64),
        _film("y", "61", 64),
        _film("w", "9", 64),
        _film("x", "film x", 256, source="b"),
        _film("y", "film y", 256, source="b"),
        _film("v", "film y", 256, source="b"),
    ]
    patients = {film.image_index: film.patient_id for film in sources.merge_films(films)}
    assert patients == {"x": "61", "y": "61", "v": "61", "w": "9"}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, r"prepare.sources\[2\].reader: None is none of nih, chexpert, dicom, folder, phantom"),
        ({"reader": "nlh"}, r"prepare.sources\[2\].reader: 'nlh' is none of"),
        ({"reader": "nih"}, r"prepare.sources\[2\].path: missing, reader nih needs it"),
        ({"reader": "nih", "path": 3}, r"prepare.sources\[2\].path: 3 is no text"),
        ({"reader": "nih", "path": "x", "folder": "y"}, r"prepare.sources\[2\].folder: unknown option of reader nih"),
        ({"reader": "nih", "path": "x", "report": "y"}, r"prepare.sources\[2\].report: unknown option"),
        ({"reader": "folder", "path": "x", "map": "y"}, r"prepare.sources\[2\].map: 'y' is no mapping"),
        (
            {"reader": "phantom", "n_films": "9", "resolution": 8, "seed": 1},
            r"prepare.sources\[2\].n_films: '9' is no whole number",
        ),
        (
            {"reader": "phantom", "n_films": True, "resolution": 8, "seed": 1},
            r"prepare.sources\[2\].n_films: True is no whole number",
        ),
    ],
)
def test_a_bad_option_is_named_by_its_path(entry: dict[str, Any], message: str) -> None:
    """Unknown, missing and ill-typed options name their key in params.yaml, as a bad key elsewhere does."""
    with pytest.raises(ConfigError, match=message):
        sources.read_source("prepare.sources[2]", entry, lambda line: None)


def test_an_option_that_the_reader_refuses_is_named_by_its_path(tmp_path: Path) -> None:
    """The reader names the option, the source its place."""
    (tmp_path / "normal").mkdir()
    entry = {"reader": "folder", "path": str(tmp_path), "others": "maybe"}
    with pytest.raises(ConfigError, match=r"^prepare.sources\[0\].others: 'maybe'"):
        sources.read_source("prepare.sources[0]", entry, lambda line: None)


def test_what_a_reader_reports_is_passed_on_and_kept() -> None:
    """The lines go to `report` and into the entry of dataset.json, beside the count of films."""
    lines: list[str] = []
    entry = {"reader": "phantom", "n_films": 3, "resolution": 8, "seed": 1}
    source = sources.read_source("prepare.sources[0]", entry, lines.append)
    assert source.as_dict() == {"reader": "phantom", "names": ["phantom"], "films": 3, "notes": lines}
