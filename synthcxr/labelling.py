"""From a classifier's logits to probabilities, and from these to findings by its thresholds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from synthcxr.labels import FINDINGS

Bool = NDArray[np.bool_]
Float64 = NDArray[np.float64]


def probabilities(logits: NDArray[np.floating]) -> Float64:
    """Sigmoid of logits, in float64."""
    clipped = np.clip(np.asarray(logits, dtype=np.float64), -500, 500)
    return np.asarray(1 / (1 + np.exp(-clipped)))


def least(thresholds: Mapping[str, float]) -> Float64:
    """Float64 [14], the probability from which each finding counts as present; one without a threshold never does."""
    return np.array([thresholds.get(finding, np.inf) for finding in FINDINGS], dtype=np.float64)


def present(probabilities: NDArray[np.floating], thresholds: Mapping[str, float]) -> Bool:
    """Which of the findings [n, 14] reach their threshold."""
    return np.asarray(probabilities >= least(thresholds))
