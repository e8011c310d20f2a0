from __future__ import annotations

import numpy as np
import pytest
from scipy.stats.contingency import association

from synthcxr.evaluation.metrics import label_permutation_test
from synthcxr.evaluation.metrics.label_permutation_test import LabelTest

SHARES = np.array([0.5, 0.2, 0.15, 0.1, 0.05])


def rows(n: int, shares: np.ndarray, *, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((n, len(shares))) < shares


def told(real: np.ndarray, synthetic: np.ndarray, *, a_patient: int = 1, seed: int = 0, n: int = 199) -> LabelTest:
    patients = np.array([f"p{i // a_patient}" for i in range(len(real))], dtype=object)
    return label_permutation_test.permutation(
        real=real,
        synthetic=synthetic,
        real_patients=patients,
        rng=np.random.default_rng(seed),
        n_permutations=n,
    )


def test_another_distribution_is_told_with_the_size_of_the_effect() -> None:
    """Reversed shares: as improbable as the permutations allow, and a large effect."""
    found = told(rows(300, SHARES, seed=1), rows(400, SHARES[::-1], seed=2))
    assert found.p_value == 1 / 200
    assert found.effect == "large"


def test_equal_distributions_are_rarely_told_apart() -> None:
    """Of 60 pairs from one distribution about one in ten has p of at most 0.1, and no effect."""
    found = [told(rows(150, SHARES, seed=2 * k), rows(200, SHARES, seed=2 * k + 1), n=99) for k in range(60)]
    assert 0.02 <= np.mean([each.p_value <= 0.1 for each in found]) <= 0.22
    assert np.median([each.cramers_v for each in found]) < label_permutation_test.SMALL


def test_films_of_one_patient_count_as_one() -> None:
    """Ten equal films a patient: patients, not films, are exchanged, so that chance is not taken for more."""
    firsts = [rows(20, SHARES, seed=k) for k in range(40)]
    p = [told(np.repeat(first, 10, axis=0), rows(200, SHARES, seed=900 + k), a_patient=10, n=99).p_value
         for k, first in enumerate(firsts)]  # fmt: skip
    assert np.mean(np.array(p) <= 0.05) <= 0.2


def test_cramers_v_is_scipys() -> None:
    """Equal to scipy's association of the same table; empty columns say nothing."""
    table = np.array([[30.0, 20.0, 5.0, 0.0], [60.0, 10.0, 9.0, 0.0]])
    expected = association(table[:, :3].astype(int), method="cramer")
    assert label_permutation_test.cramers_v(table) == pytest.approx(expected, rel=1e-12)
    assert label_permutation_test.cramers_v(np.array([[4.0, 0.0], [0.0, 9.0]])) == pytest.approx(1)
    assert label_permutation_test.cramers_v(np.array([[4.0], [9.0]])) == 0
