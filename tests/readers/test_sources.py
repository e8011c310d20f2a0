"""The sources of params.yaml: checks of options, and merging the films of several sources."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthcxr.data.films import Film
from synthcxr.errors import ConfigError, DataError
from synthcxr.readers import sources


def build_film(name: str, patient: str, size: int | None, *, source: str = "a", official: str = "") -> Film:
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


def test_largest_film_of_an_image_index_is_kept() -> None:
    """The order of sources does not matter, except for equal sizes; an unreadable film counts as the smallest."""
    films = [
        build_film("x", "1", 64, source="a"),
        build_film("y", "2", 64, source="a"),
        build_film("z", "3", None, source="a"),
        build_film("x", "1", 256, source="b"),
        build_film("y", "2", 64, source="b"),
        build_film("z", "3", 8, source="b"),
    ]
    assert {film.image_index: film.source for film in sources.merge_films(films)} == {"x": "b", "y": "a", "z": "b"}


def test_official_list_is_kept_from_any_source() -> None:
    """A larger copy without official lists does not move a film out of the official test list."""
    films = [build_film("x", "1", 64, official="test"), build_film("x", "1", 256, source="b")]
    (film,) = sources.merge_films(films)
    assert (film.source, film.official) == ("b", "test")


def test_patients_with_a_shared_image_index_are_unified() -> None:
    """A source that treats each film as a patient does not separate the films of a known patient."""
    films = [
        build_film("x", "61", 64),
        build_film("y", "61", 64),
        build_film("w", "9", 64),
        build_film("x", "film x", 256, source="b"),
        build_film("y", "film y", 256, source="b"),
        build_film("v", "film y", 256, source="b"),
    ]
    patients = {film.image_index: film.patient_id for film in sources.merge_films(films)}
    assert patients == {"x": "61", "y": "61", "v": "61", "w": "9"}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, r"prepare.sources\[2\].reader: None is not one of nih, chexpert, mimic, dicom, folder, phantom"),
        ({"reader": "nlh"}, r"prepare.sources\[2\].reader: 'nlh' is not one of"),
        ({"reader": "nih"}, r"prepare.sources\[2\].path: missing; reader nih requires it"),
        ({"reader": "nih", "path": 3}, r"prepare.sources\[2\].path: expected text, got 3"),
        ({"reader": "nih", "path": "x", "folder": "y"}, r"prepare.sources\[2\].folder: unknown option of reader nih"),
        ({"reader": "nih", "path": "x", "report": "y"}, r"prepare.sources\[2\].report: unknown option"),
        ({"reader": "folder", "path": "x", "map": "y"}, r"prepare.sources\[2\].map: expected a mapping, got 'y'"),
        (
            {"reader": "phantom", "n_films": "9", "resolution": 8, "seed": 1},
            r"prepare.sources\[2\].n_films: expected a whole number, got '9'",
        ),
        (
            {"reader": "phantom", "n_films": True, "resolution": 8, "seed": 1},
            r"prepare.sources\[2\].n_films: expected a whole number, got True",
        ),
    ],
)
def test_invalid_options_are_errors_with_their_key(entry: dict[str, Any], message: str) -> None:
    """The error for an unknown, missing or wrongly typed option begins with its key in params.yaml."""
    with pytest.raises(ConfigError, match=message):
        sources.read_source("prepare.sources[2]", entry, lambda line: None)


def test_option_errors_of_a_reader_get_the_full_key(tmp_path: Path) -> None:
    """The reader names the option, and `read_source` adds the key of the source."""
    (tmp_path / "normal").mkdir()
    entry = {"reader": "folder", "path": str(tmp_path), "others": "maybe"}
    with pytest.raises(ConfigError, match=r"^prepare.sources\[0\].others: 'maybe'"):
        sources.read_source("prepare.sources[0]", entry, lambda line: None)


def test_lines_of_a_reader_are_reported_and_stored() -> None:
    """The lines of the reader go to `report` and into the entry of dataset.json, with the number of films."""
    lines: list[str] = []
    entry = {"reader": "phantom", "n_films": 3, "resolution": 8, "seed": 1}
    source = sources.read_source("prepare.sources[0]", entry, lines.append)
    assert source.as_dict() == {"reader": "phantom", "names": ["phantom"], "films": 3, "notes": lines}
