"""Names, label text and multi-hot vectors of findings."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthcxr.data.findings import (
    FINDINGS,
    NO_FINDING,
    UNKNOWN_FINDINGS,
    canonicalize_finding,
    format_finding_labels,
    parse_finding_labels,
    to_finding_names,
    to_multi_hot,
)
from synthcxr.errors import DataError


@given(st.sets(st.sampled_from(FINDINGS)))
def test_conversions_are_inverse_to_each_other(names: set[str]) -> None:
    """Names, vector and label text of any set of findings; the empty set is No Finding."""
    multi_hot = to_multi_hot(names)
    assert set(to_finding_names(multi_hot)) == (names or {NO_FINDING})
    assert parse_finding_labels(format_finding_labels(multi_hot)) == multi_hot


def test_names_are_recognised_in_any_case_and_by_alias() -> None:
    """Case and underscores do not matter, "normal" is No Finding, and aliases map the names of a source."""
    assert canonicalize_finding("pleural thickening") == "Pleural_Thickening"
    assert canonicalize_finding("NORMAL") == NO_FINDING
    assert canonicalize_finding("big heart", {"Big Heart": "cardiomegaly"}) == "Cardiomegaly"


def test_unknown_findings_are_not_no_finding() -> None:
    """A vector of NaN has no names."""
    assert all(map(math.isnan, UNKNOWN_FINDINGS))
    assert to_finding_names(UNKNOWN_FINDINGS) == ()


def test_unknown_names_and_contradictory_labels_are_errors() -> None:
    """The error for an unknown name lists the known ones."""
    with pytest.raises(DataError, match="unknown finding 'Gout'; known: No Finding, Atelectasis"):
        parse_finding_labels("Gout")
    with pytest.raises(DataError, match="contradictory"):
        parse_finding_labels("No Finding|Mass")
