"""The expectation that great-expectations lacks: rows that share one column's value share another's too.

No patient on two sides of a split is the case that matters here. `suite` imports this, so that the library knows it.
"""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its imports warn of modules that Python deprecates
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.expectations.expectation import MulticolumnMapExpectation
    from great_expectations.expectations.metrics.map_metric_provider import (
        MulticolumnMapMetricProvider,
        multicolumn_condition_partial,
    )

_METRIC = "multicolumn_values.group_keeps_to_one_value"


class GroupKeepsToOneValue(MulticolumnMapMetricProvider):  # type: ignore[misc]
    """Of each row, whether its group (the first of two columns) has one value alone in the second."""

    condition_metric_name = _METRIC
    condition_domain_keys = ("batch_id", "table", "column_list", "row_condition", "condition_parser", "ignore_row_if")
    condition_value_keys = ()

    @multicolumn_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(cls, column_list: pd.DataFrame, **_: Any) -> pd.Series[bool]:  # noqa: N805  as the library wants it
        group, value = column_list.columns
        return column_list.groupby(group)[value].transform("nunique") <= 1


class ExpectGroupsToKeepToOneValue(MulticolumnMapExpectation):  # type: ignore[misc]
    """Expect `column_list` [group, value] to hold one value for each group: a patient's films all on one side."""

    map_metric = _METRIC
    args_keys = ("column_list",)
