"""The label vocabulary: NIH order, names in any case, unknown is not absent."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthcxr.data import findings
from synthcxr.errors import DataError


@given(st.sets(st.sampled_from(findings.FINDINGS)))
def test_names_and_vectors_are_each_other_s_inverse(names: set[str]) -> None:
    """Any set of findings; the empty set is No Finding."""
    vector = findings.vector(names)
    assert set(findings.names(vector)) == (names or {findings.NO_FINDING})
    assert findings.parse(findings.join(vector)) == vector


def test_names_in_any_case_and_by_alias() -> None:
    """'normal' is No Finding; underscores and case do not matter; a map renames a source's own classes."""
    assert findings.canonical("pleural thickening") == "Pleural_Thickening"
    assert findings.canonical("NORMAL") == findings.NO_FINDING
    assert findings.canonical("big heart", {"Big Heart": "cardiomegaly"}) == "Cardiomegaly"


def test_unknown_is_nan_and_never_no_finding() -> None:
    """A vector of unknowns names nothing."""
    assert all(map(math.isnan, findings.UNKNOWN))
    assert findings.names(findings.UNKNOWN) == ()


def test_unknown_names_and_contradictions_are_refused() -> None:
    """The line lists what is known."""
    with pytest.raises(DataError, match="unknown finding 'Gout'; known: No Finding, Atelectasis"):
        findings.parse("Gout")
    with pytest.raises(DataError, match="contradictory"):
        findings.parse("No Finding|Mass")
