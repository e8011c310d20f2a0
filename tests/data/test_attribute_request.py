"""Requested views, sexes and ages: what a user may write, which films match, and how other films are changed."""

from __future__ import annotations

import numpy as np
import pytest

from synthcxr.data.attribute_request import ANY_ATTRIBUTES, AttributeRequest
from synthcxr.data.condition import FilmAttributes
from synthcxr.errors import ConfigError, DataError

FILMS = FilmAttributes(
    findings=np.zeros((5, 14), np.float32),
    views=np.array(["PA", "AP", "PA", "", "PA"]),
    sexes=np.array(["F", "F", "M", "M", ""]),
    ages=np.array([62, 20, 71, np.nan, 95], np.float32),
)


def test_a_request_is_read_and_printed() -> None:
    """Codes in either case, a range or one age; nothing accepts any film."""
    request = AttributeRequest.from_text("pa", " f ", "60-70")
    assert request == AttributeRequest("PA", "F", (60, 70))
    assert str(request) == "view PA, sex F, age 60-70"
    assert AttributeRequest.from_text(None, None, "65").age == (65, 65)
    assert str(AttributeRequest(age=(65, 65))) == "age 65"
    assert AttributeRequest.from_text("", None, "") == ANY_ATTRIBUTES
    assert not str(ANY_ATTRIBUTES)


def test_the_request_of_a_run_json_is_read() -> None:
    """Absent attributes accept any; a tampered one is refused."""
    attributes = {"view": "AP", "sex": None, "age": [60, 70]}
    assert AttributeRequest.from_run({"attributes": attributes}) == AttributeRequest("AP", None, (60, 70))
    assert AttributeRequest.from_run({}) == ANY_ATTRIBUTES
    with pytest.raises(DataError, match=r"run\.json: request: attributes: view"):
        AttributeRequest.from_run({"attributes": {"view": "up"}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("lateral", None, None), "view: 'LATERAL' is not one of PA, AP"),
        ((None, "X", None), "sex: 'X' is not one of F, M"),
        *(((None, None, age), "age must be in years, such as 60-70 or 65") for age in ("70-60", "old", "-5", "50-121")),
        *(((None, None, age), "age must be in years, such as 60-70 or 65") for age in ("60-", "1e1", "60-70-80", "६०")),
    ],
)
def test_other_values_are_one_line(values: tuple[str | None, ...], message: str) -> None:
    """Unknown codes, reversed ranges, too great ages and other text are refused."""
    with pytest.raises(ConfigError, match=message):
        AttributeRequest.from_text(*values)


@pytest.mark.parametrize(
    ("request_", "rows"),
    [
        (ANY_ATTRIBUTES, [0, 1, 2, 3, 4]),
        (AttributeRequest(view="PA"), [0, 2, 4]),
        (AttributeRequest(view="PA", sex="M"), [2]),
        (AttributeRequest(age=(60, 70)), [0, 2]),
        (AttributeRequest(age=(61, 62)), [0]),
        (AttributeRequest(age=(90, 120)), [4]),
    ],
)
def test_films_match_by_their_rounded_age(request_: AttributeRequest, rows: list[int]) -> None:
    """Ages are compared as a condition has them, to the nearest 5 years and at most 90; unknown values never match."""
    assert np.flatnonzero(request_.match(FILMS)).tolist() == rows


def test_films_are_changed_as_little_as_possible() -> None:
    """An age outside the range moves to its nearest end, an unknown one to its middle; other values stay."""
    changed = AttributeRequest(view="AP", age=(60, 70)).apply(FILMS)
    assert changed.views.tolist() == ["AP"] * 5
    assert changed.sexes.tolist() == FILMS.sexes.tolist()
    assert changed.ages.tolist() == [62, 60, 70, 65, 70]


def test_a_part_that_is_not_in_the_condition_is_refused() -> None:
    """The line names the part and the training parameter."""
    AttributeRequest(view="PA").require_parts(("findings", "view"))
    ANY_ATTRIBUTES.require_parts(())
    with pytest.raises(ConfigError, match=r"^sex: the condition of this generator has no sex; .* train_gan\.cond"):
        AttributeRequest(view="PA", sex="F").require_parts(("findings", "view"))
