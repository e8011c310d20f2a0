from __future__ import annotations

import pytest

from synthcxr.data.share_interval import wilson_interval


@pytest.mark.parametrize(
    ("n_positive", "n", "low", "high"), [(0, 10, 0.0, 0.27753), (5, 10, 0.23659, 0.76341), (10, 10, 0.72247, 1.0)]
)
def test_wilson_interval_equals_the_published_one(n_positive: int, n: int, low: float, high: float) -> None:
    """Newcombe's (1998) score interval without continuity correction, also for shares of 0 and 1."""
    assert wilson_interval(n_positive, n) == pytest.approx((low, high), abs=1e-5)
