"""Probabilities from logits, and findings from probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest

from synthcxr.data.findings import FINDINGS
from synthcxr.model_files import predictions


def test_probabilities_are_sigmoids_of_any_logit() -> None:
    """Known values; huge logits give 0 and 1 without a warning, in float64."""
    probabilities = predictions.to_probabilities(np.array([0, math.log(3), -math.log(3), 1e30, -1e30], np.float32))
    assert probabilities.dtype == np.float64
    assert probabilities == pytest.approx([0.5, 0.75, 0.25, 1, 0], abs=1e-7)


def test_a_finding_is_present_at_and_above_its_threshold() -> None:
    """A finding without a threshold is never present."""
    thresholds = dict.fromkeys(FINDINGS[:13], 0.5) | {FINDINGS[1]: 0.25}
    rows = np.full((2, 14), 0.5)
    rows[1] = 0.4999
    rows[:, 13] = 1.0
    assert predictions.is_present(rows, thresholds).tolist() == [
        [True] * 13 + [False],
        [False, True, *[False] * 12],
    ]
