"""Cohen's and Fleiss' kappa, against scikit-learn and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.inter_rater import fleiss_kappa as statsmodels_fleiss_kappa

from synthcxr.reader_study.agreement import cohen_kappa, fleiss_kappa


def test_kappa_is_none_where_it_is_undefined() -> None:
    """Without cases, and with equal ratings only, kappa is None."""
    assert cohen_kappa([], [], k=3).value is None
    assert cohen_kappa([1, 1], [1, 1], k=3).value is None


@pytest.mark.parametrize("quadratic", [False, True])
def test_cohens_kappa_equals_scikit_learn_and_statsmodels(quadratic: bool) -> None:
    """Unweighted and with quadratic weights, and the interval contains the value."""
    rng = np.random.default_rng(3)
    first = rng.integers(0, 5, 60)
    second = np.where(rng.uniform(size=60) < 0.6, first, rng.integers(0, 5, 60))
    estimate = cohen_kappa(first, second, k=5, quadratic=quadratic)
    expected = cohen_kappa_score(first, second, weights="quadratic" if quadratic else None)
    assert estimate.value == pytest.approx(expected)
    table = np.zeros((5, 5))
    np.add.at(table, (first, second), 1)
    weights = {"wt": "quadratic"} if quadratic else {}
    assert estimate.value == pytest.approx(cohens_kappa(table, **weights).kappa)
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low < estimate.value < estimate.high  # type: ignore[operator]


def test_fleiss_kappa_equals_statsmodels() -> None:
    """On random ratings; it is 1 if all readers agree, and None for one reader."""
    ratings = np.random.default_rng(1).integers(0, 3, (4, 50))
    counts = np.stack([(ratings == level).sum(axis=0) for level in range(3)], axis=1)
    expected = statsmodels_fleiss_kappa(counts, method="fleiss")
    assert fleiss_kappa(ratings, k=3).value == pytest.approx(expected)
    assert fleiss_kappa(np.tile(np.arange(30) % 3, (3, 1)), k=3).value == pytest.approx(1.0)
    assert fleiss_kappa(ratings[:1], k=3).value is None
