"""Exact and bootstrapped intervals, against statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from synthcxr.reader_study import accuracy, intervals

CASES = [f"case{index}" for index in range(100)]


@pytest.mark.parametrize(("k", "n"), [(0, 12), (7, 12), (12, 12), (61, 100)])
def test_interval_of_a_proportion_is_exact(k: int, n: int) -> None:
    """The interval equals that of Clopper and Pearson in statsmodels."""
    estimate = intervals.estimate_proportion(k, n)
    assert (estimate.value, estimate.n) == (k / n, n)
    assert (estimate.low, estimate.high) == pytest.approx(proportion_confint(k, n, method="beta"))


def test_no_readings_give_no_value() -> None:
    """The proportion of zero readings is None."""
    assert intervals.estimate_proportion(0, 0).value is None


def test_interval_stays_within_zero_and_one() -> None:
    """An interval around a value close to 1 does not exceed 1."""
    correct = (np.random.default_rng(0).uniform(size=(2, 100)) < 0.98).astype(float)
    estimate = accuracy.pool_accuracy(correct, CASES, np.random.default_rng(0))
    assert estimate is not None
    assert 0 < estimate.low < estimate.value < estimate.high < 1  # type: ignore[operator]


def test_films_of_a_patient_are_resampled_together() -> None:
    """Ten films of each of ten patients, all correct or all wrong per patient, give a wider interval than 100 cases."""
    correct = np.repeat(np.arange(10) % 2, 10)[None].repeat(3, axis=0).astype(float)
    independent = accuracy.pool_accuracy(correct, CASES, np.random.default_rng(0))
    clustered = accuracy.pool_accuracy(correct, [str(index // 10) for index in range(100)], np.random.default_rng(0))
    assert independent is not None
    assert clustered is not None
    assert clustered.high - clustered.low > 2 * (independent.high - independent.low)  # type: ignore[operator]


def test_readers_who_always_answer_the_same_get_an_interval() -> None:
    """An AUC that neither other readers nor other cases change has an interval, if readers read only some cases."""
    confidence = np.full((2, 14), 2.0)
    confidence[0, [1, 3, 6, 9]] = confidence[1, [0, 5, 8, 10]] = np.nan
    is_synthetic = np.arange(14) >= 7
    estimate = accuracy.pool_auc(confidence, is_synthetic, CASES[:14], np.random.default_rng(1))
    assert estimate is not None
    assert estimate.value == 0.5
    assert 0 < estimate.low < 0.5 < estimate.high < 1  # type: ignore[operator]
