from __future__ import annotations

import numpy as np
import pytest
from scipy.stats.contingency import association

from synthcxr.evaluation.metrics import label_permutation_test
from synthcxr.evaluation.metrics.label_permutation_test import PermutationTest

SHARES = np.array([0.5, 0.2, 0.15, 0.1, 0.05])


def draw_labels(n: int, shares: np.ndarray, *, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((n, len(shares))) < shares


def run_test(
    real: np.ndarray, synthetic: np.ndarray, *, films_per_patient: int = 1, n_permutations: int = 199
) -> PermutationTest:
    patients = np.array([f"p{i // films_per_patient}" for i in range(len(real))], dtype=object)
    return label_permutation_test.permutation_test(
        real=real,
        synthetic=synthetic,
        real_patients=patients,
        rng=np.random.default_rng(0),
        n_permutations=n_permutations,
    )


def test_a_different_distribution_is_significant_with_a_large_effect() -> None:
    """Reversed shares have the smallest p value that the permutations allow, and a large effect."""
    result = run_test(draw_labels(300, SHARES, seed=1), draw_labels(400, SHARES[::-1], seed=2))
    assert result.p_value == 1 / 200
    assert result.effect == "large"


def test_equal_distributions_are_rarely_significant() -> None:
    """Of 60 pairs from one distribution about one in ten has a p value of at most 0.1, with a negligible effect."""
    results = [
        run_test(draw_labels(150, SHARES, seed=2 * k), draw_labels(200, SHARES, seed=2 * k + 1), n_permutations=99)
        for k in range(60)
    ]
    assert 0.02 <= np.mean([result.p_value <= 0.1 for result in results]) <= 0.22
    assert np.median([result.cramers_v for result in results]) < label_permutation_test.SMALL_EFFECT


def test_films_of_one_patient_are_permuted_together() -> None:
    """With ten equal films for each patient, the p value is still valid, because patients are permuted."""
    p_values = []
    for k in range(40):
        real = np.repeat(draw_labels(20, SHARES, seed=k), 10, axis=0)
        synthetic = draw_labels(200, SHARES, seed=900 + k)
        p_values.append(run_test(real, synthetic, films_per_patient=10, n_permutations=99).p_value)
    assert np.mean(np.array(p_values) <= 0.05) <= 0.2


def test_cramers_v_equals_scipy() -> None:
    """The value equals SciPy's association of the same table; empty columns are ignored."""
    table = np.array([[30.0, 20.0, 5.0, 0.0], [60.0, 10.0, 9.0, 0.0]])
    expected = association(table[:, :3].astype(int), method="cramer")
    assert label_permutation_test.cramers_v(table) == pytest.approx(expected, rel=1e-12)
    assert label_permutation_test.cramers_v(np.array([[4.0, 0.0], [0.0, 9.0]])) == pytest.approx(1)
    assert label_permutation_test.cramers_v(np.array([[4.0], [9.0]])) == 0
