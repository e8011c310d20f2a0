"""Thresholds matched to prevalence: as large a share of films is called positive as truly is.

A finding counts as present from its threshold up (p >= threshold).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcxr.data.findings import FINDINGS

MIN_POSITIVES = 3
VAL, BOTH = "val", "train+val"


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """A probability per finding and the films that it was matched on, "val" or "train+val"."""

    probability: dict[str, float]
    matched_on: dict[str, str]

    @property
    def weak(self) -> tuple[str, ...]:
        """The findings with too few val positives: their thresholds lean on films learnt from, and enter no gate."""
        return tuple(finding for finding, films in self.matched_on.items() if films != VAL)


def matched(*, probabilities: ArrayLike, truth: ArrayLike) -> float:
    """The threshold that calls as many of the known films positive as are, or as near as ties allow.

    It lies midway between two neighbouring probabilities, 0 and 1 bounding them, so that a small change of the
    network's arithmetic moves no film across it. Without a known film it is 1.
    """
    values, labels = np.asarray(probabilities, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    known = ~np.isnan(labels)
    ordered = np.sort(values[known])[::-1]
    if len(ordered) == 0:
        return 1.0
    bounds = np.concatenate([[1.0], ordered, [0.0]])
    cuts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1], True])  # numbers of films that can be called
    called = cuts[np.argmin(np.abs(cuts - (labels[known] == 1).sum()))]
    upper, lower = bounds[called], bounds[called + 1]
    return float(max((upper + lower) / 2, np.nextafter(lower, 1)))


def matched_all(
    *,
    val_probabilities: NDArray[np.floating],
    val_findings: NDArray[np.float32],
    train_probabilities: NDArray[np.floating],
    train_findings: NDArray[np.float32],
) -> Thresholds:
    """A threshold for each finding of [N, 14] arrays: on val, or with train where val holds fewer than 3 positives."""
    probability, matched_on = {}, {}
    for i, finding in enumerate(FINDINGS):
        p, truth = val_probabilities[:, i], val_findings[:, i]
        matched_on[finding] = VAL
        if (truth == 1).sum() < MIN_POSITIVES:
            matched_on[finding] = BOTH
            p, truth = np.r_[p, train_probabilities[:, i]], np.r_[truth, train_findings[:, i]]
        probability[finding] = matched(probabilities=p, truth=truth)
    return Thresholds(probability, matched_on)
