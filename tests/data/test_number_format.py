"""Numbers, percentages and intervals as people read them."""

from __future__ import annotations

import pytest

from synthcxr.data.number_format import (
    NO_BREAK_SPACE,
    format_count,
    format_decimals,
    format_interval,
    format_number,
    format_percent,
    format_percent_interval,
    format_quantity,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1.71234, "1.71"),
        (12.345, "12.3"),
        (99.97, "100"),
        (999.6, "1,000"),
        (12345.6, "12,346"),
        (-1234567, "-1,234,567"),
        (0.000123456, "0.000123"),
        (0.0000123, "0.000012"),
        (4e-8, "0"),
        (float("inf"), "inf"),
        (None, "–"),
    ],
)
def test_a_number_has_three_significant_digits_and_no_exponent(value: float | None, text: str) -> None:
    """Large numbers have thousands separators, small ones six decimals, and a missing one is a dash."""
    assert format_number(value) == text


def test_the_number_of_digits_and_the_missing_value_can_be_chosen() -> None:
    """`digits` are significant digits; `missing` replaces the dash."""
    assert format_number(1.23456, digits=4) == "1.235"
    assert format_number(None, missing="not defined") == "not defined"
    assert format_decimals(0.9, decimals=3) == "0.900"
    assert format_decimals(None, decimals=2, missing="-") == "-"


def test_counts_have_thousands_separators() -> None:
    """A count is written in full; a missing one is a dash."""
    assert format_count(12345) == "12,345"
    assert format_count(None) == "–"


def test_percentages_have_decimals_or_significant_digits() -> None:
    """A share of 1 becomes a percentage with a space before the sign, which can be one that never breaks."""
    assert format_percent(0.12345) == "12.3 %"
    assert format_percent(0.0012345, digits=2) == "0.12 %"
    assert format_percent(0.5, decimals=0, space=NO_BREAK_SPACE) == "50\u00a0%"
    assert format_percent(None) == "–"


def test_an_interval_shows_both_bounds_or_nothing() -> None:
    """Bounds follow the template; an interval with a missing bound is empty."""
    assert format_interval((1.62345, 1.8)) == "(1.62 to 1.8)"
    assert format_interval([0.1, 0.25], template="[{}, {}]") == "[0.1, 0.25]"
    assert format_interval((0.5, 0.75), lambda bound: format_decimals(bound, decimals=3)) == "(0.500 to 0.750)"
    assert format_percent_interval((0.1, 0.25)) == "(10.0 to 25.0)"
    assert format_percent_interval((0.1, 0.25), digits=2, template="[{}, {}]") == "[10, 25]"
    assert format_interval(None) == format_interval(()) == format_interval((None, 0.5)) == ""


def test_the_noun_agrees_with_the_count() -> None:
    """One film, several or no films; thousands are separated."""
    assert [format_quantity(n, "film") for n in (0, 1, 2, 2_137)] == ["0 films", "1 film", "2 films", "2,137 films"]


def test_integers_beyond_all_floats_are_infinite() -> None:
    """A damaged file can hold them."""
    assert [format_number(10**400), format_decimals(-(10**400), decimals=2)] == ["inf", "-inf"]
    assert format_percent(10**400) == "inf %"
