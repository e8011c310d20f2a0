"""The expectation that label sets come about as often as they should: for any great-expectations project, by import.

    from synthcxr.checks.label_sets import ExpectLabelSetsToBeDistributedAs

A label set is all findings of one image: Edema|Effusion is another set than Edema, and the same as Effusion|Edema.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import pandas as pd

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its imports warn of modules that Python deprecates
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.expectations.expectation import ColumnAggregateExpectation
    from great_expectations.expectations.metrics import ColumnAggregateMetricProvider, column_aggregate_value

_METRIC = "column.label_set_counts"
_N_DETAILS = 10


class LabelSetCounts(ColumnAggregateMetricProvider):  # type: ignore[misc]
    """How many rows have each label set, by its sorted names."""

    metric_name = _METRIC
    value_keys = ("separator",)

    @column_aggregate_value(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(cls, column: pd.Series[str], separator: str = "|", **_: Any) -> dict[str, int]:  # noqa: N805
        counts: dict[str, int] = {}
        for text, n in column.value_counts().items():
            name = _set_name(str(text), separator)
            counts[name] = counts.get(name, 0) + int(n)
        return counts


class ExpectLabelSetsToBeDistributedAs(ColumnAggregateExpectation):  # type: ignore[misc]
    """Expect the label sets of `column` within a total variation of `max_value` from `reference`.

    `reference` gives each set's weight (a share or a count), its names joined by `separator`; a set that it does not
    name has none. Total variation is half the sum of differences of shares: 0 for equal, 1 for disjoint ones.
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
        found, wanted = _shares(metrics[_METRIC]), _reference(self.reference, self.separator)
        apart = {name: found.get(name, 0.0) - wanted.get(name, 0.0) for name in {*found, *wanted}}
        distance = math.fsum(map(abs, apart.values())) / 2
        furthest = sorted(apart, key=lambda name: (-abs(apart[name]), name))[:_N_DETAILS]
        details = {name: {"found": found.get(name, 0.0), "wanted": wanted.get(name, 0.0)} for name in furthest}
        success = bool(found) and distance <= self.max_value
        return {"success": success, "result": {"observed_value": distance, "details": details}}


def _set_name(text: str, separator: str) -> str:
    return separator.join(sorted({part.strip() for part in text.split(separator)}))


def _reference(weights: Mapping[str, float], separator: str) -> dict[str, float]:
    held: dict[str, float] = {}
    for name, weight in weights.items():
        folded = _set_name(name, separator)
        held[folded] = held.get(folded, 0.0) + weight
    return _shares(held)


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    total = math.fsum(weights.values())
    return {name: weight / total for name, weight in weights.items()} if total > 0 else {}
