"""Conclusions follow the confidence intervals."""

from __future__ import annotations

import pytest

from synthcxr.reader_study.conclusions import draw_conclusions


@pytest.mark.parametrize(
    ("low", "high", "claim"),
    [(0.51, 0.7, "better than chance"), (0.3, 0.49, "saw a difference"), (0.45, 0.62, "up to 62%")],
)
def test_the_claim_follows_the_interval(low: float, high: float, claim: str) -> None:
    """An interval above chance, below chance or around it decides the first sentence."""
    estimate = {"value": (low + high) / 2, "low": low, "high": high, "n": 300}
    reader = {"accuracy": estimate, "n_unsure": 0, "complete": True}
    result = {
        "n_readings": 300,
        "about": {},
        "readers": {"1": reader, "2": reader},
        "not_begun": [],
        "pooled": {"accuracy": estimate, "auc": None},
        "pairs": None,
        "between_readers": {"fleiss": None},
        "classifier": {},
    }
    assert claim in draw_conclusions(result)[0]
