"""Label conditions: which images meet them, and which requests contradict themselves."""

from __future__ import annotations

import numpy as np
import pytest

from synthcxr.data.findings import FINDINGS
from synthcxr.errors import DataError
from synthcxr.synthesis.request.label_condition import LabelCondition


def to_rows(*label_sets: tuple[str, ...]) -> np.ndarray:
    return np.array([[name in label_set for name in FINDINGS] for label_set in label_sets])


def test_a_condition_requires_all_its_findings_and_excludes_others() -> None:
    """All required findings must be present and no excluded one; other findings may be present."""
    present = to_rows((), ("Edema",), ("Edema", "Effusion"), ("Edema", "Effusion", "Mass"), ("Effusion", "Mass"))

    def matches(*names: list[str]) -> list[bool]:
        return LabelCondition.from_names(*names).matches(present).tolist()

    assert matches(["effusion", "Edema"]) == [False, False, True, True, False]
    assert matches(["Edema"], ["Mass"]) == [False, True, True, False, False]
    assert matches([], ["Mass"]) == [True, True, True, False, False]
    assert matches(["No Finding"]) == [True, False, False, False, False]
    exact = LabelCondition.from_exact_set(["Edema", "Effusion"])
    assert exact.matches(present).tolist() == [False, False, True, False, False]


def test_an_empty_exact_set_is_no_finding_and_an_empty_condition_is_unconditional() -> None:
    """No findings at all is the condition "No Finding"; no condition at all accepts every image."""
    assert LabelCondition.from_exact_set([]) == LabelCondition.from_names(["No Finding"])
    assert LabelCondition.from_names([]).is_unconditional


def test_a_condition_has_a_readable_text() -> None:
    """The text of a condition lists findings in NIH order."""
    assert str(LabelCondition.from_names(["Mass", "Edema"], ["Hernia"])) == "Mass and Edema without Hernia"


def test_contradictions_are_rejected() -> None:
    """A finding cannot be required and excluded, No Finding cannot be excluded or combined, and names must be known."""
    with pytest.raises(DataError, match="Edema: both requested and excluded"):
        LabelCondition.from_names(["Edema"], ["edema"])
    with pytest.raises(DataError, match="'No Finding' cannot be excluded"):
        LabelCondition.from_names([], ["No Finding"])
    with pytest.raises(DataError, match="contradictory labels"):
        LabelCondition.from_names(["No Finding", "Mass"])
    with pytest.raises(DataError, match="unknown finding 'Cough'"):
        LabelCondition.from_names([], ["Cough"])
