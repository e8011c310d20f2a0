"""Probabilities from a classifier's logits, their calibration, and findings by the classifier's thresholds."""

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
    """p = sigmoid(logit / temperature + shift), fitted on `n_films` val films; the shift is by finding."""

    temperature: float
    shift: Mapping[str, float]
    n_films: int

    def as_dict(self) -> dict[str, Any]:
        """Return the calibration as the metadata of a model file store it."""
        return {"temperature": self.temperature, "shift": dict(self.shift), "n_films": self.n_films}


def calibrate(probabilities: NDArray[np.floating], calibration: Mapping[str, Any]) -> Float64:
    """Correct probabilities [n, 14] by the calibration in a model file's metadata; an empty one changes nothing."""
    if not calibration:
        return np.asarray(probabilities, dtype=np.float64)
    shift = np.array([calibration["shift"].get(finding, 0.0) for finding in FINDINGS])
    return _sigmoid(to_logits(probabilities) / calibration["temperature"] + shift)


def to_logits(probabilities: NDArray[np.floating]) -> Float64:
    """Convert probabilities to logits; a threshold above 1, which nothing reaches, becomes infinite."""
    exact = np.asarray(probabilities, dtype=np.float64)
    clipped = np.clip(exact, 1e-15, 1 - 1e-15)
    return np.asarray(np.where(exact > 1, np.inf, np.log(clipped) - np.log1p(-clipped)))


def to_probabilities(logits: NDArray[np.floating]) -> Float64:
    """Convert logits to probabilities, in float64."""
    return _sigmoid(np.asarray(logits, dtype=np.float64))


def _sigmoid(logits: Float64) -> Float64:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -500, 500))))


def stack_thresholds(thresholds: Mapping[str, float]) -> Float64:
    """Return the thresholds as float64 [14]; infinite for a finding without one, which is never present."""
    return np.array([thresholds.get(finding, np.inf) for finding in FINDINGS], dtype=np.float64)


def is_present(probabilities: NDArray[np.floating], thresholds: Mapping[str, float]) -> Bool:
    """Whether each finding reaches its threshold, bool [n, 14]."""
    return np.asarray(probabilities >= stack_thresholds(thresholds))
