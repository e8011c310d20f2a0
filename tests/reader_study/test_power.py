"""Power analysis, against the exact test of scipy and simulated studies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from synthcxr.errors import ConfigError
from synthcxr.reader_study.power import (
    analyse_power,
    compute_power,
    count_readings_needed,
    find_detectable_accuracy,
)


@pytest.mark.parametrize(("n", "accuracy"), [(20, 0.7), (49, 0.6), (100, 0.65), (211, 0.6)])
def test_power_is_that_of_the_exact_test(n: int, accuracy: float) -> None:
    """The power is the probability of the counts that the two-sided exact test of scipy rejects."""
    rejected = [k for k in range(n + 1) if binomtest(k, n, 0.5).pvalue <= 0.05]
    assert compute_power(n, accuracy) == pytest.approx(sum(binom.pmf(rejected, n, accuracy)), abs=1e-12)


def test_readings_needed_is_the_smallest_number_with_the_power() -> None:
    """From this number on, every larger one has the power; the one before does not."""
    n = count_readings_needed(0.65)
    assert compute_power(n - 1, 0.65) < 0.8
    assert all(compute_power(n + extra, 0.65) >= 0.8 for extra in range(60))


@pytest.mark.slow
def test_simulated_readers_are_detected() -> None:
    """With this number of readings, about 80 % of simulated readers of this accuracy differ from chance."""
    n = count_readings_needed(0.7)
    n_correct = np.random.default_rng(0).binomial(n, 0.7, size=2000)
    share_detected = np.mean([binomtest(int(k), n, 0.5).pvalue <= 0.05 for k in n_correct])
    assert 0.77 < share_detected < 0.9


def test_more_readings_detect_lower_accuracies() -> None:
    """The detectable accuracy falls with the number of readings; with very few there is none, and the text says so."""
    assert find_detectable_accuracy(3) is None
    detectable = [find_detectable_accuracy(n) or 1 for n in (400, 100, 30)]
    assert detectable == sorted(set(detectable))
    assert "no accuracy below 100%" in analyse_power(0.6, n=4, readers=1).lines[1]


@pytest.mark.parametrize("accuracy", [0.5, 0.2, 1.0, 1.3, pytest.param(0.5001, marks=pytest.mark.slow), float("nan")])
def test_undetectable_accuracies_are_refused(accuracy: float) -> None:
    """Chance, less than chance, 1 and more, and an accuracy that needs more than 20,000 readings are errors."""
    with pytest.raises(ConfigError, match="--power"):
        analyse_power(accuracy, n=100, readers=3)
