"""How many readings are needed, against scipy's own test and the counts of simulated studies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from synthcxr.errors import ConfigError
from synthcxr.reader_study import power


@pytest.mark.parametrize(("n", "accuracy"), [(20, 0.7), (49, 0.6), (100, 0.65), (211, 0.6)])
def test_the_power_is_that_of_the_exact_test(n: int, accuracy: float) -> None:
    """The power is the probability of the counts that scipy's two-sided exact test rejects."""
    rejected = [k for k in range(n + 1) if binomtest(k, n, 0.5).pvalue <= 0.05]
    assert power.power(n, accuracy) == pytest.approx(sum(binom.pmf(rejected, n, accuracy)), abs=1e-12)


def test_enough_readings_are_enough() -> None:
    """From the number on, every larger one has the power; the one before has not."""
    n = power.readings(0.65)
    assert power.power(n - 1, 0.65) < 0.8
    assert all(power.power(n + more, 0.65) >= 0.8 for more in range(60))


@pytest.mark.slow
def test_simulated_readers_are_detected() -> None:
    """Of simulated readers of that accuracy with that many readings about 80 % differ from chance."""
    n = power.readings(0.7)
    right = np.random.default_rng(0).binomial(n, 0.7, size=2000)
    found = np.mean([binomtest(int(k), n, 0.5).pvalue <= 0.05 for k in right])
    assert 0.77 < found < 0.9


def test_a_plan_says_what_it_detects() -> None:
    """More readings detect less; too few detect nothing, and say so."""
    assert power.detectable(3) is None
    assert (power.detectable(400) or 1) < (power.detectable(100) or 0) < (power.detectable(30) or 0)
    planned = power.plan(0.6, n=4, readers=1)
    assert "nothing short of perfection" in planned.lines[1]


@pytest.mark.parametrize("accuracy", [0.5, 0.2, 1.0, 1.3, pytest.param(0.5001, marks=pytest.mark.slow), float("nan")])
def test_what_cannot_be_detected_is_refused(accuracy: float) -> None:
    """Chance itself, less, certainty, and what nobody could read enough for."""
    with pytest.raises(ConfigError, match="--power"):
        power.plan(accuracy, n=100, readers=3)
