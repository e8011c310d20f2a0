"""A custom expectation on the distribution of label sets, usable in any great-expectations project.

    from synthcxr.checks.label_sets import ExpectLabelSetsToBeDistributedAs

A label set is all findings of one image. Edema|Effusion differs from Edema and equals Effusion|Edema.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import pandas as pd

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its imports raise deprecation warnings
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.expectations.expectation import ColumnAggregateExpectation
    from great_expectations.expectations.metrics import ColumnAggregateMetricProvider, column_aggregate_value

_METRIC = "column.label_set_counts"
_N_DETAILS = 10


class LabelSetCounts(ColumnAggregateMetricProvider):  # type: ignore[misc]
    """The number of rows per label set; its names are sorted."""

    metric_name = _METRIC
    value_keys = ("separator",)

    @column_aggregate_value(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(cls, column: pd.Series[str], separator: str = "|", **_: Any) -> dict[str, int]:  # noqa: N805
        counts: dict[str, int] = {}
        for text, n in column.value_counts().items():
            name = _normalize_set(str(text), separator)
            counts[name] = counts.get(name, 0) + int(n)
        return counts


class ExpectLabelSetsToBeDistributedAs(ColumnAggregateExpectation):  # type: ignore[misc]
    """Expect the label sets of `column` to be within a total variation of `max_value` from `reference`.

    `reference` maps each set (names joined by `separator`) to its weight, a share or a count; other sets have weight 0.
    Total variation is half the sum of the absolute differences of shares: 0 if equal, 1 if disjoint.
    """

    reference: dict[str, float]
    max_value: float
    separator: str = "|"

    metric_dependencies: ClassVar[tuple[str, ...]] = (_METRIC,)
    success_keys: ClassVar[tuple[str, ...]] = ("reference", "max_value", "separator")
    args_keys: ClassVar[tuple[str, ...]] = ("column", "reference", "max_value")

    def _validate(
        self, metrics: dict[str, Any], runtime_configuration: Any = None, execution_engine: Any = None
    ) -> dict[str, Any]:
        observed, expected = _to_shares(metrics[_METRIC]), _reference_shares(self.reference, self.separator)
        differences = {name: observed.get(name, 0.0) - expected.get(name, 0.0) for name in {*observed, *expected}}
        distance = math.fsum(map(abs, differences.values())) / 2
        largest = sorted(differences, key=lambda name: (-abs(differences[name]), name))[:_N_DETAILS]
        details = {name: {"found": observed.get(name, 0.0), "wanted": expected.get(name, 0.0)} for name in largest}
        success = bool(observed) and distance <= self.max_value
        return {"success": success, "result": {"observed_value": distance, "details": details}}


def _normalize_set(text: str, separator: str) -> str:
    return separator.join(sorted({part.strip() for part in text.split(separator)}))


def _reference_shares(weights: Mapping[str, float], separator: str) -> dict[str, float]:
    merged: dict[str, float] = {}
    for name, weight in weights.items():
        normalized = _normalize_set(name, separator)
        merged[normalized] = merged.get(normalized, 0.0) + weight
    return _to_shares(merged)


def _to_shares(weights: Mapping[str, float]) -> dict[str, float]:
    total = math.fsum(weights.values())
    return {name: weight / total for name, weight in weights.items()} if total > 0 else {}
