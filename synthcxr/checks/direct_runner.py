"""Run the shipped checks on a table without great-expectations; `gx_runner` gives the same lines in seconds more.

Nulls are skipped, as by great-expectations; the tables already hold values that fail in place of nulls.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcxr.checks import check_line
from synthcxr.checks.check_result import CheckLine, CheckResult
from synthcxr.checks.expectation import Check

Bool = NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class _Outcome:
    """Whether an expectation holds; the value that it is about, if it is about one, and the rows that fail."""

    passed: bool
    value: float | None = None
    failing: Sequence[int] | None = None
    missing: tuple[str, ...] = ()


def run_checks(table: pd.DataFrame, checks: Sequence[Check], *, label: str) -> CheckResult:
    """Check a table. A failed line names at most 20 rows by their value in the column `label`.

    Raises KeyError for an expectation that no shipped check uses, and for a column that the table lacks.
    """
    table = table.reset_index(drop=True)
    return CheckResult.from_lines(tuple(_make_line(check, table, label) for check in checks))


def _make_line(check: Check, table: pd.DataFrame, label: str) -> CheckLine:
    kwargs = check.expectation.kwargs
    outcome = _EXPECTATIONS[check.expectation.type](table, kwargs)
    observed, bound = check_line.describe_values(
        value=outcome.value,
        n_failing=None if outcome.failing is None else len(outcome.failing),
        n_rows=len(table),
        kwargs=kwargs,
    )
    rows: tuple[str, ...] = ()
    sentence = check.sentence
    if not outcome.passed:
        names = table[label] if label in table else pd.Series(table.index)
        failing = outcome.failing or ()
        rows = outcome.missing or tuple(str(names.iloc[row]) for row in failing[: check_line.MAX_ROWS])
        sentence = check_line.describe_failure(
            sentence,
            is_missing=bool(outcome.missing),
            n_failing=len(failing),
            n_rows=len(table),
            value=outcome.value,
        )
    return CheckLine(check.name, outcome.passed, sentence, rows, observed=observed, bound=bound)


def _match_columns(table: pd.DataFrame, kwargs: Mapping[str, Any]) -> _Outcome:
    missing = tuple(sorted(set(kwargs["column_set"]) - set(table.columns)))
    return _Outcome(not missing, missing=missing)


def _count_rows(table: pd.DataFrame, kwargs: Mapping[str, Any]) -> _Outcome:
    return _Outcome(len(table) == kwargs["value"], value=len(table))


def _count_rows_between(table: pd.DataFrame, kwargs: Mapping[str, Any]) -> _Outcome:
    return _Outcome(len(table) >= kwargs["min_value"], value=len(table))


def _find_maximum(table: pd.DataFrame, kwargs: Mapping[str, Any]) -> _Outcome:
    maximum = table[kwargs["column"]].max()
    if pd.isna(maximum):
        return _Outcome(False)
    value = maximum.item() if isinstance(maximum, np.generic) else maximum
    return _Outcome(bool(value >= kwargs["min_value"]), value=value)


def _measure_divergence(table: pd.DataFrame, kwargs: Mapping[str, Any]) -> _Outcome:
    """Kullback-Leibler divergence of the shares of values from the expected ones; all values are among these."""
    partition = kwargs["partition_object"]
    counts = table[kwargs["column"]].value_counts()
    if not counts.sum():
        return _Outcome(False)
    observed = np.array([counts.get(value, 0) for value in partition["values"]], dtype=np.float64)
    expected = np.array(partition["weights"], dtype=np.float64)
    observed, expected = observed / observed.sum(), expected / expected.sum()
    is_present = observed > 0
    value = math.fsum(observed[is_present] * np.log(observed[is_present] / expected[is_present]))
    return _Outcome(value <= kwargs["threshold"], value=value)


def _of_rows(is_right: Callable[[pd.DataFrame, Mapping[str, Any]], Bool]) -> Callable[..., _Outcome]:
    """An expectation that holds for each row whose value is not null."""

    def evaluate(table: pd.DataFrame, kwargs: Mapping[str, Any]) -> _Outcome:
        fails = ~is_right(table, kwargs)
        if "column" in kwargs:
            fails &= _to_bool(table[kwargs["column"]].notna())
        failing = np.flatnonzero(fails).tolist()
        return _Outcome(not failing, failing=failing)

    return evaluate


def _is_unique(table: pd.DataFrame, kwargs: Mapping[str, Any]) -> Bool:
    return ~_to_bool(table[kwargs["column"]].duplicated(keep=False))


def _is_in_set(table: pd.DataFrame, kwargs: Mapping[str, Any]) -> Bool:
    return _to_bool(table[kwargs["column"]].isin(kwargs["value_set"]))


def _matches_regex(table: pd.DataFrame, kwargs: Mapping[str, Any]) -> Bool:
    return _to_bool(table[kwargs["column"]].astype(str).str.contains(kwargs["regex"]))


def _is_above(table: pd.DataFrame, kwargs: Mapping[str, Any]) -> Bool:
    values = table[kwargs["column"]].to_numpy(dtype=np.float64)
    return np.asarray(values > kwargs["min_value"] if kwargs.get("strict_min") else values >= kwargs["min_value"])


def _has_one_value(table: pd.DataFrame, kwargs: Mapping[str, Any]) -> Bool:
    group, column = kwargs["column_list"]
    return _to_bool(table.groupby(group)[column].transform("nunique") <= 1)


def _to_bool(values: pd.Series[bool]) -> Bool:
    return np.asarray(values, dtype=np.bool_)


_EXPECTATIONS: dict[str, Callable[[pd.DataFrame, Mapping[str, Any]], _Outcome]] = {
    "expect_table_columns_to_match_set": _match_columns,
    "expect_table_row_count_to_equal": _count_rows,
    "expect_table_row_count_to_be_between": _count_rows_between,
    "expect_column_max_to_be_between": _find_maximum,
    "expect_column_kl_divergence_to_be_less_than": _measure_divergence,
    "expect_column_values_to_be_unique": _of_rows(_is_unique),
    "expect_column_values_to_be_in_set": _of_rows(_is_in_set),
    "expect_column_values_to_match_regex": _of_rows(_matches_regex),
    "expect_column_values_to_be_between": _of_rows(_is_above),
    "expect_groups_to_keep_to_one_value": _of_rows(_has_one_value),
}
