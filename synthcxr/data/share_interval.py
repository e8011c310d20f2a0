"""The confidence interval of a share."""

from __future__ import annotations

import math

NORMAL_QUANTILE = 1.959963984540054
"""Of the standard normal distribution, at 97.5 %: for intervals of 95 %."""


def wilson_interval(n_positive: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of the share n_positive / n (Wilson, JASA 22, 1927)."""
    share, spread = n_positive / n, NORMAL_QUANTILE * NORMAL_QUANTILE / n
    middle = (share + spread / 2) / (1 + spread)
    half = NORMAL_QUANTILE * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(middle - half, 0.0), min(middle + half, 1.0)
