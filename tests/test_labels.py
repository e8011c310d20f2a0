"""The label vocabulary: NIH order, names in any case, unknown is not absent."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthcxr import labels
from synthcxr.errors import DataError


@given(st.sets(st.sampled_from(labels.FINDINGS)))
def test_names_and_vectors_are_each_other_s_inverse(names: set[str]) -> None:
    """Any set of findings; the empty set is No Finding."""
    vector = labels.vector(names)
    assert set(labels.names(vector)) == (names or {labels.NO_FINDING})
    assert labels.parse(labels.join(vector)) == vector


def test_names_in_any_case_and_by_alias() -> None:
    """'normal' is No Finding; underscores and case do not matter; a map renames a source's own classes."""
    assert labels.canonical("pleural thickening") == "Pleural_Thickening"
    assert labels.canonical("NORMAL") == labels.NO_FINDING
    assert labels.canonical("big heart", {"Big Heart": "cardiomegaly"}) == "Cardiomegaly"


def test_unknown_is_nan_and_never_no_finding() -> None:
    """A vector of unknowns names nothing."""
    assert all(map(math.isnan, labels.UNKNOWN))
    assert labels.names(labels.UNKNOWN) == ()


def test_unknown_names_and_contradictions_are_refused() -> None:
    """The line lists what is known."""
    with pytest.raises(DataError, match="unknown finding 'Gout'; known: No Finding, Atelectasis"):
        labels.parse("Gout")
    with pytest.raises(DataError, match="contradictory"):
        labels.parse("No Finding|Mass")
