"""Values in the tables of film sources."""

import math

import pytest

from synthcxr.readers import csv_table


@pytest.mark.parametrize(
    ("text", "years"), [("58", 58), ("058Y", 58), ("006M", 0.5), ("26 w", 0.5), ("61.5", 61.5), ("0", 0), ("120", 120)]
)
def test_an_age_is_in_years_whatever_its_unit(text: str, years: float) -> None:
    """Ages of the NIH, of DICOM and in decimals are read."""
    assert csv_table.parse_age(text) == pytest.approx(years, abs=0.01)


@pytest.mark.parametrize("text", ["", "old", "411", "-3", "58Z", "nan", "1e1", "5 to 6"])
def test_an_impossible_age_is_unknown(text: str) -> None:
    """The NIH table has ages above 400."""
    assert math.isnan(csv_table.parse_age(text))


@pytest.mark.parametrize(
    ("text", "sex"), [("F", "F"), (" female ", "F"), ("Male", "M"), ("O", ""), ("", ""), ("1", "")]
)
def test_a_sex_is_f_m_or_unknown(text: str, sex: str) -> None:
    """Other codes and texts are unknown."""
    assert csv_table.parse_sex(text) == sex
