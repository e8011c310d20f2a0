"""A custom expectation: rows with the same value in one column have the same value in another.

It checks that no patient is in two splits. Importing this module registers the expectation with great-expectations.
"""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its imports raise deprecation warnings
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.expectations.expectation import MulticolumnMapExpectation
    from great_expectations.expectations.metrics.map_metric_provider import (
        MulticolumnMapMetricProvider,
        multicolumn_condition_partial,
    )

_METRIC = "multicolumn_values.group_keeps_to_one_value"


class GroupKeepsToOneValue(MulticolumnMapMetricProvider):  # type: ignore[misc]
    """For each row, whether its group (first column) has a single value in the second column."""

    condition_metric_name = _METRIC
    condition_domain_keys = ("batch_id", "table", "column_list", "row_condition", "condition_parser", "ignore_row_if")
    condition_value_keys = ()

    @multicolumn_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(cls, column_list: pd.DataFrame, **_: Any) -> pd.Series[bool]:  # noqa: N805  the library passes the class
        group, value = column_list.columns
        return column_list.groupby(group)[value].transform("nunique") <= 1


class ExpectGroupsToKeepToOneValue(MulticolumnMapExpectation):  # type: ignore[misc]
    """Expect one value per group in `column_list` [group, value]: all films of a patient are in one split."""

    map_metric = _METRIC
    args_keys = ("column_list",)
