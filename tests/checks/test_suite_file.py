"""Suites as files: written, edited, run again, and refused with their place where they cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synthcxr.checks import films, suite_file
from synthcxr.errors import DataError
from synthcxr.stages import check


def write(path: Path, tree: Any) -> Path:
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path


def test_a_written_suite_is_the_suite(tmp_path: Path) -> None:
    """Names, sentences and expectations come back as they were."""
    path = tmp_path / "films.json"
    path.write_text(suite_file.text("films", films.expected(64)), encoding="utf-8")
    for ours, theirs in zip(films.expected(64), suite_file.read(path), strict=True):
        assert (ours.name, ours.sentence) == (theirs.name, theirs.sentence)
        assert ours.expectation.configuration.kwargs == theirs.expectation.configuration.kwargs
        assert type(ours.expectation) is type(theirs.expectation)


def test_an_edited_suite_is_run(trained: Any, tmp_path: Path) -> None:
    """What ships passes on films; a tighter bound and an expectation of our own fail by their own sentences."""
    path = tmp_path / "films.json"
    path.write_text(check.texts()[Path("expectations/films.json")], encoding="utf-8")
    assert check.run([trained.data], docs=None, own=path)[str(trained.data)].passed
    tree = json.loads(path.read_text())
    views = {"PA": 1.0}
    tree["expectations"] = [
        {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "view", "value_set": ["PA"]}},
        {
            "type": "expect_label_sets_to_be_distributed_as",
            "kwargs": {"column": "view", "reference": views, "max_value": 0.01},
            "description": "nearly all films are PA",
        },
    ]
    found = check.run([trained.data], docs=tmp_path / "docs", own=write(path, tree))[str(trained.data)]
    first, second = found.failed
    assert first.sentence.startswith("expect column values to be in set: not so for ")
    assert first.rows
    assert second.sentence.startswith("nearly all films are PA: found 0.")
    assert second.asked == "at most 0.01"
    (page,) = (tmp_path / "docs/validations").rglob("*.html")
    assert "nearly all films are PA" in page.read_text(encoding="utf-8")


BROKEN = {
    "no list": ({"expectations": 3}, "holds no suite"),
    "none": ({"expectations": []}, "holds no suite"),
    "a list": ([], "holds no suite"),
    "no type": ({"expectations": [{"kwargs": {}}]}, r"expectations\[0\] names no `type`"),
    "unknown": ({"expectations": [{"type": "expect_luck"}]}, r"expectations\[0\], expect_luck: "),
    "lacking": (
        {"expectations": [{"type": "expect_column_values_to_be_unique", "kwargs": {}}]},
        r"expectations\[0\], expect_column_values_to_be_unique: .*column",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_suite_that_cannot_be_is_one_line(tmp_path: Path, name: str) -> None:
    """The file and the place in it are named."""
    tree, why = BROKEN[name]
    with pytest.raises(DataError, match=why) as caught:
        suite_file.read(write(tmp_path / "x.json", tree))
    assert "\n" not in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    """An absent file and one that is no JSON are said."""
    with pytest.raises(DataError, match="no such suite"):
        suite_file.read(tmp_path / "gone.json")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(DataError, match="not readable as JSON"):
        suite_file.read(tmp_path / "x.json")
