"""The splits of patients of an earlier dataset."""

from __future__ import annotations

import numpy as np
import pandas as pd

from synthcxr.data.earlier_splits import find_earlier_splits
from synthcxr.data.films import Film

MANIFEST = pd.DataFrame(
    {"image_index": ["a", "b", "c", "d"], "patient_id": ["1", "1", "2", "3"], "split": ["val", "val", "test", "train"]}
)


def make_film(name: str, patient: str) -> Film:
    return Film(name, patient, "a", "PA", (0.0,) * 14, lambda: np.zeros((8, 8), np.float32), lambda: 8, name)


def test_patients_are_found_by_their_films_and_by_their_ids() -> None:
    """A patient whom another source names differently is found by a film; new patients are absent."""
    films = [make_film("new", "1"), make_film("c", "renamed"), make_film("x", "9")]
    assert find_earlier_splits(films, MANIFEST) == {"1": "val", "renamed": "test"}


def test_a_patient_of_several_splits_is_in_the_first() -> None:
    """Films with the same picture joined patients of val, test and train."""
    films = [make_film("a", "joined"), make_film("c", "joined")]
    assert find_earlier_splits(films, MANIFEST) == {"joined": "val"}
    assert find_earlier_splits([*films, make_film("d", "joined")], MANIFEST) == {"joined": "train"}
