"""Thresholds matched to prevalence: the share of films called positive equals the share that is positive.

A finding is present if its probability reaches the threshold (p >= threshold).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcxr.data.findings import FINDINGS
from synthcxr.data.minimum_films import MIN_VAL_POSITIVES

VAL, TRAIN_AND_VAL = "val", "train+val"


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """The threshold of each finding, and the films that it was matched on: "val" or "train+val"."""

    probability: dict[str, float]
    matched_on: dict[str, str]

    @property
    def weak(self) -> tuple[str, ...]:
        """The findings with too few val positives; their thresholds depend on training films, so they enter no gate."""
        return tuple(finding for finding, films in self.matched_on.items() if films != VAL)


def match_prevalence(*, probabilities: ArrayLike, truth: ArrayLike) -> float:
    """The threshold at which as many known films are called positive as are positive, or as close as ties allow.

    It lies midway between two neighbouring probabilities (or 0 or 1), so a small numerical change of the network
    moves no film across it. Without a known film it is 1.
    """
    values, labels = np.asarray(probabilities, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    known = ~np.isnan(labels)
    ordered = np.sort(values[known])[::-1]
    if len(ordered) == 0:
        return 1.0
    bounds = np.concatenate([[1.0], ordered, [0.0]])
    possible_counts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1], True])  # ties are called together
    n_called = possible_counts[np.argmin(np.abs(possible_counts - (labels[known] == 1).sum()))]
    upper, lower = bounds[n_called], bounds[n_called + 1]
    return float(max((upper + lower) / 2, np.nextafter(lower, 1)))


def fit_thresholds(
    *,
    val_probabilities: NDArray[np.floating],
    val_findings: NDArray[np.float32],
    train_probabilities: NDArray[np.floating],
    train_findings: NDArray[np.float32],
) -> Thresholds:
    """Match the threshold of each finding in [N, 14] arrays on val, or on train and val with under 3 val positives."""
    probability, matched_on = {}, {}
    for i, finding in enumerate(FINDINGS):
        p, truth = val_probabilities[:, i], val_findings[:, i]
        matched_on[finding] = VAL
        if (truth == 1).sum() < MIN_VAL_POSITIVES:
            matched_on[finding] = TRAIN_AND_VAL
            p, truth = np.r_[p, train_probabilities[:, i]], np.r_[truth, train_findings[:, i]]
        probability[finding] = match_prevalence(probabilities=p, truth=truth)
    return Thresholds(probability, matched_on)
