"""What is wanted of an image."""

from __future__ import annotations

import numpy as np
import pytest

from synthcxr.data.findings import FINDINGS
from synthcxr.errors import DataError
from synthcxr.synthesis.request.label_condition import Wanted


def rows(*sets: tuple[str, ...]) -> np.ndarray:
    return np.array([[name in held for name in FINDINGS] for held in sets])


def test_all_of_the_wanted_and_none_of_the_others() -> None:
    """Several findings mean all of them at once; what is left out must not show; the rest may."""
    present = rows((), ("Edema",), ("Edema", "Effusion"), ("Edema", "Effusion", "Mass"), ("Effusion", "Mass"))
    assert Wanted.of(["effusion", "Edema"]).met(present).tolist() == [False, False, True, True, False]
    assert Wanted.of(["Edema"], ["Mass"]).met(present).tolist() == [False, True, True, False, False]
    assert Wanted.of([], ["Mass"]).met(present).tolist() == [True, True, True, False, False]
    assert Wanted.of(["No Finding"]).met(present).tolist() == [True, False, False, False, False]
    assert Wanted.exactly(["Edema", "Effusion"]).met(present).tolist() == [False, False, True, False, False]
    assert Wanted.exactly([]) == Wanted.of(["No Finding"]) and Wanted.of([]).anything
    assert str(Wanted.of(["Mass", "Edema"], ["Hernia"])) == "Mass and Edema without Hernia"


def test_contradictions_are_refused() -> None:
    """What is asked for cannot be left out, nor can No Finding, nor a finding beside it."""
    with pytest.raises(DataError, match="Edema: asked for and left out at once"):
        Wanted.of(["Edema"], ["edema"])
    with pytest.raises(DataError, match="'No Finding' cannot be left out"):
        Wanted.of([], ["No Finding"])
    with pytest.raises(DataError, match="contradictory labels"):
        Wanted.of(["No Finding", "Mass"])
    with pytest.raises(DataError, match="unknown finding 'Cough'"):
        Wanted.of([], ["Cough"])
