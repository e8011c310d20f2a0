"""From a classifier's logits to probabilities, and from these to findings by its thresholds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.findings import FINDINGS

Bool = NDArray[np.bool_]
Float64 = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Calibration:
    """p = sigmoid(logit / temperature + shift), fitted on `n_films` val films."""

    temperature: float
    shift: Mapping[str, float]
    n_films: int

    def as_dict(self) -> dict[str, Any]:
        """As a model file's metadata holds it."""
        return {"temperature": self.temperature, "shift": dict(self.shift), "n_films": self.n_films}


def calibrated(probabilities: NDArray[np.floating], calibration: Mapping[str, Any]) -> Float64:
    """Probabilities [n, 14] as a file's calibration corrects them; without one they are as they were."""
    if not calibration:
        return np.asarray(probabilities, dtype=np.float64)
    shift = np.array([calibration["shift"].get(finding, 0.0) for finding in FINDINGS])
    return _sigmoid(logits(probabilities) / calibration["temperature"] + shift)


def logits(probabilities: NDArray[np.floating]) -> Float64:
    """The logits that probabilities are sigmoids of; infinite for a threshold that nothing reaches."""
    given = np.asarray(probabilities, dtype=np.float64)
    held = np.clip(given, 1e-15, 1 - 1e-15)
    return np.asarray(np.where(given > 1, np.inf, np.log(held) - np.log1p(-held)))


def probabilities(logits: NDArray[np.floating]) -> Float64:
    """Sigmoid of logits, in float64."""
    return _sigmoid(np.asarray(logits, dtype=np.float64))


def _sigmoid(logits: Float64) -> Float64:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -500, 500))))


def least(thresholds: Mapping[str, float]) -> Float64:
    """Float64 [14], the probability from which each finding counts as present; one without a threshold never does."""
    return np.array([thresholds.get(finding, np.inf) for finding in FINDINGS], dtype=np.float64)


def present(probabilities: NDArray[np.floating], thresholds: Mapping[str, float]) -> Bool:
    """Which of the findings [n, 14] reach their threshold."""
    return np.asarray(probabilities >= least(thresholds))
