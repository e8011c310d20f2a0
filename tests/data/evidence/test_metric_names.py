"""Metrics in words, and their values with the same digits everywhere."""

from __future__ import annotations

import pytest

from synthcxr.data.evidence.metric_names import describe_target, format_metric, name_metric, name_metric_in_full
from synthcxr.evaluation.gates import describe_metrics


def test_every_metric_that_a_gate_can_name_has_words() -> None:
    """Also with a pattern for every space or finding."""
    patterns = ("privacy.*.share_low", "labels.validity.*.value", "distance.*.relative")
    for metric in (*describe_metrics(("judge", "efficientnet-lite0", "inception")), *patterns):
        words = name_metric(metric)
        assert words != metric
        assert not set("_*<>").intersection(words)


def test_a_metric_is_named_in_words_beside_its_path() -> None:
    """A finding has no underscore; an unknown metric stays as it is."""
    metric = "labels.validity.Pleural_Thickening.value"
    assert name_metric_in_full(metric) == f"label validity of Pleural Thickening ({metric})"
    assert name_metric_in_full("unknown") == "unknown"


@pytest.mark.parametrize(
    ("metric", "value", "limit", "text"),
    [
        ("distance.judge.relative", 89.4221, 3.0, "89.4"),
        ("distance.judge.relative", 3.0004, 3.0, "3.0004"),
        ("distance.judge.relative", 3.0, 3.0, "3"),
        ("privacy.pixels.share_low", 0.0224167, 0.01, "2.2 %"),
        ("privacy.pixels.share_low", 0.01004, 0.01, "1.004 %"),
        ("distance.judge.relative", float("inf"), 3.0, "inf"),
    ],
)
def test_a_value_has_enough_digits_to_tell_it_from_its_limit(
    metric: str, value: float, limit: float, text: str
) -> None:
    """A value just beyond its limit is not printed as the limit; shares are percentages."""
    assert format_metric(metric, value, limit=limit) == text


def test_the_limit_of_a_share_is_a_percentage() -> None:
    """As the value is."""
    assert describe_target("privacy.pixels.share_low", "max", 0.01) == "target at most 1 %"
    assert describe_target("labels.validity.mean", "min", 0.5) == "target at least 0.5"
