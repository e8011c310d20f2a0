"""The section on distances."""

from __future__ import annotations

from typing import cast

from synthcxr.data.metrics_schema import MetricsJson
from synthcxr.report.distances import build_distance_section
from synthcxr.report.optional_experiments import Experiments


def test_unknown_counts_and_ratios_are_dashes_with_a_reason() -> None:
    """Without films the number of training films is unknown, and a floor of another size gives no ratio."""
    row = {"status": "computed", "value": 2.0, "interval": None, "floor": 1.0, "floor_n": None}
    row |= {"relative": None, "relative_interval": None, "n_synthetic": 200, "n_train": None, "n_test": 153}
    metrics = cast(MetricsJson, {"n_real_test": 0, "distance": {"judge": row}})
    section = build_distance_section(metrics, Experiments(disturb={}, utility={}))
    assert section.table is not None
    assert section.table.rows[0][-2:] == ("–", "200 / – / 153")
    assert section.conclusion.endswith("there is no relative distance, because the floor has another number of images.")
