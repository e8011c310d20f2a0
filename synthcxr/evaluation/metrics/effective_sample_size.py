"""The effective sample size of weighted images (Kish 1965): as many images of equal weight would know as much."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

LOW_SHARE = 0.1
"""Below this share of the images, a weighted estimate depends on few of them."""


def effective_sample_size(weights: ArrayLike) -> float:
    """(sum of weights)^2 / (sum of squared weights): n for equal weights, near 1 if one weight dominates."""
    values = np.asarray(weights, dtype=np.float64)
    scaled = values / values.max()
    return float(scaled.sum() ** 2 / (scaled**2).sum())
