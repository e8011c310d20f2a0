"""Logits to probabilities to findings."""

from __future__ import annotations

import math

import numpy as np
import pytest

from synthcxr.data.findings import FINDINGS
from synthcxr.model_files import predictions


def test_probabilities_are_sigmoids_of_any_logit() -> None:
    """Known values; huge logits give 0 and 1 without a warning, in float64."""
    found = predictions.probabilities(np.array([0, math.log(3), -math.log(3), 1e30, -1e30], np.float32))
    assert found.dtype == np.float64
    assert found == pytest.approx([0.5, 0.75, 0.25, 1, 0], abs=1e-7)


def test_a_finding_is_present_from_its_threshold_up() -> None:
    """At the threshold it is present, below it is not; one without a threshold never is."""
    thresholds = dict.fromkeys(FINDINGS[:13], 0.5) | {FINDINGS[1]: 0.25}
    rows = np.full((2, 14), 0.5)
    rows[1] = 0.4999
    rows[:, 13] = 1.0
    assert predictions.present(rows, thresholds).tolist() == [
        [True] * 13 + [False],
        [False, True, *[False] * 12],
    ]
