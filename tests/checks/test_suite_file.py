"""Suite files: written, edited, run, and refused with the position of the invalid entry."""

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


def test_a_suite_survives_a_round_trip(tmp_path: Path) -> None:
    """Names, sentences and expectations are the same after writing and reading."""
    path = tmp_path / "films.json"
    path.write_text(suite_file.render_suite("films", films.list_checks(64)), encoding="utf-8")
    for check_written, check_read in zip(films.list_checks(64), suite_file.read_suite(path), strict=True):
        assert (check_written.name, check_written.sentence) == (check_read.name, check_read.sentence)
        assert check_written.expectation.type == check_read.expectation.type
        assert check_written.expectation.kwargs.items() <= check_read.expectation.kwargs.items()


def test_an_edited_suite_is_run(trained: Any, tmp_path: Path) -> None:
    """The shipped suite passes on films; a stricter bound and a custom expectation fail with their own sentences."""
    path = tmp_path / "films.json"
    path.write_text(check.render_suites()[Path("expectations/films.json")], encoding="utf-8")
    assert check.run([trained.data], docs=None, suite=path)[str(trained.data)].passed
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
    result = check.run([trained.data], docs=tmp_path / "docs", suite=write(path, tree))[str(trained.data)]
    first, second = result.failed
    assert first.sentence.startswith("expect column values to be in set: fails for ")
    assert first.rows
    assert second.sentence.startswith("nearly all films are PA: found 0.")
    assert second.bound == "at most 0.01"
    (page,) = (tmp_path / "docs/validations").rglob("*.html")
    assert "nearly all films are PA" in page.read_text(encoding="utf-8")


BROKEN = {
    "no list": ({"expectations": 3}, "not a suite"),
    "none": ({"expectations": []}, "not a suite"),
    "a list": ([], "not a suite"),
    "no type": ({"expectations": [{"kwargs": {}}]}, r"expectations\[0\] has no `type`"),
    "unknown": ({"expectations": [{"type": "expect_luck"}]}, r"expectations\[0\], expect_luck: "),
    "lacking": (
        {"expectations": [{"type": "expect_column_values_to_be_unique", "kwargs": {}}]},
        r"expectations\[0\], expect_column_values_to_be_unique: .*column",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_invalid_suite_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    """The error names the file and the position of the entry."""
    tree, message = BROKEN[name]
    with pytest.raises(DataError, match=message) as caught:
        suite_file.read_suite(write(tmp_path / "x.json", tree))
    assert "\n" not in str(caught.value)


def test_an_absent_or_unreadable_file_is_refused(tmp_path: Path) -> None:
    """An absent file and a file that is not JSON raise DataError."""
    with pytest.raises(DataError, match="no such file"):
        suite_file.read_suite(tmp_path / "gone.json")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(DataError, match="x.json: "):
        suite_file.read_suite(tmp_path / "x.json")
