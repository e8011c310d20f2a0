"""Run the shipped checks on a table without great-expectations; `gx_runner` gives the same lines in seconds more.

A table is a mapping of column names to values. Nulls (None or NaN) are skipped, as by great-expectations; the tables
already hold values that fail in place of nulls.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from synthcxr.checks import check_line
from synthcxr.checks.check_result import CheckLine, CheckResult
from synthcxr.checks.expectation import Check

Values = Sequence[Any]
Table = Mapping[str, Values]


@dataclasses.dataclass(frozen=True)
class _Outcome:
    """Whether an expectation holds; the value that it is about, if it is about one, and the rows that fail."""

    passed: bool
    value: float | None = None
    failing: Sequence[int] | None = None
    missing: tuple[str, ...] = ()


def run_checks(table: Table, checks: Sequence[Check], *, label: str) -> CheckResult:
    """Check a table. A failed line names at most 20 rows by their value in the column `label`.

    Raises KeyError for an expectation that no shipped check uses, and for a column that the table lacks.
    """
    return CheckResult.from_lines(tuple(_make_line(check, table, label) for check in checks))


def _make_line(check: Check, table: Table, label: str) -> CheckLine:
    kwargs = check.expectation.kwargs
    outcome = _EXPECTATIONS[check.expectation.type](table, kwargs)
    n_rows = _count(table)
    observed, bound = check_line.describe_values(
        value=outcome.value,
        n_failing=None if outcome.failing is None else len(outcome.failing),
        n_rows=n_rows,
        kwargs=kwargs,
    )
    rows: tuple[str, ...] = ()
    sentence = check.sentence
    if not outcome.passed:
        names = table.get(label, range(n_rows))
        failing = outcome.failing or ()
        rows = outcome.missing or tuple(str(names[row]) for row in failing[: check_line.MAX_ROWS])
        sentence = check_line.describe_failure(
            sentence,
            is_missing=bool(outcome.missing),
            n_failing=len(failing),
            n_rows=n_rows,
            value=outcome.value,
        )
    return CheckLine(check.name, outcome.passed, sentence, rows, observed=observed, bound=bound)


def _count(table: Table) -> int:
    return len(next(iter(table.values()), ()))


def _is_null(value: Any) -> bool:
    return value is None or value != value


def _list_present(values: Values) -> Values:
    return [value for value in values if not _is_null(value)]


def _match_columns(table: Table, kwargs: Mapping[str, Any]) -> _Outcome:
    missing = tuple(sorted(set(kwargs["column_set"]) - set(table)))
    return _Outcome(not missing, missing=missing)


def _count_rows(table: Table, kwargs: Mapping[str, Any]) -> _Outcome:
    return _Outcome(_count(table) == kwargs["value"], value=_count(table))


def _count_rows_between(table: Table, kwargs: Mapping[str, Any]) -> _Outcome:
    return _Outcome(_count(table) >= kwargs["min_value"], value=_count(table))


def _find_maximum(table: Table, kwargs: Mapping[str, Any]) -> _Outcome:
    values = _list_present(table[kwargs["column"]])
    if not values:
        return _Outcome(False)
    return _Outcome(bool(max(values) >= kwargs["min_value"]), value=max(values))


def _measure_divergence(table: Table, kwargs: Mapping[str, Any]) -> _Outcome:
    """Kullback-Leibler divergence of the shares of values from the expected ones; all values are among these."""
    partition = kwargs["partition_object"]
    counts = collections.Counter(_list_present(table[kwargs["column"]]))
    if not counts:
        return _Outcome(False)
    observed = np.array([counts[value] for value in partition["values"]], dtype=np.float64)
    expected = np.array(partition["weights"], dtype=np.float64)
    observed, expected = observed / observed.sum(), expected / expected.sum()
    is_present = observed > 0
    value = math.fsum(observed[is_present] * np.log(observed[is_present] / expected[is_present]))
    return _Outcome(value <= kwargs["threshold"], value=value)


def _of_values(is_right: Callable[[Any, Mapping[str, Any]], bool]) -> Callable[..., _Outcome]:
    """An expectation that holds for each value of a column that is not null."""

    def evaluate(table: Table, kwargs: Mapping[str, Any]) -> _Outcome:
        values = enumerate(table[kwargs["column"]])
        failing = [row for row, value in values if not (_is_null(value) or is_right(value, kwargs))]
        return _Outcome(not failing, failing=failing)

    return evaluate


def _is_in_set(value: Any, kwargs: Mapping[str, Any]) -> bool:
    return value in kwargs["value_set"]


def _matches_regex(value: Any, kwargs: Mapping[str, Any]) -> bool:
    return re.search(kwargs["regex"], str(value)) is not None


def _is_above(value: Any, kwargs: Mapping[str, Any]) -> bool:
    return bool(value > kwargs["min_value"] if kwargs.get("strict_min") else value >= kwargs["min_value"])


def _find_repeated_values(table: Table, kwargs: Mapping[str, Any]) -> _Outcome:
    values = table[kwargs["column"]]
    counts = collections.Counter(_list_present(values))
    failing = [row for row, value in enumerate(values) if not _is_null(value) and counts[value] > 1]
    return _Outcome(not failing, failing=failing)


def _find_groups_with_one_value(table: Table, kwargs: Mapping[str, Any]) -> _Outcome:
    groups, values = (table[column] for column in kwargs["column_list"])
    values_by_group: dict[Any, set[Any]] = collections.defaultdict(set)
    for group, value in zip(groups, values, strict=True):
        values_by_group[group].update([] if _is_null(value) else [value])
    failing = [row for row, group in enumerate(groups) if _is_null(group) or len(values_by_group[group]) > 1]
    return _Outcome(not failing, failing=failing)


_EXPECTATIONS: dict[str, Callable[[Table, Mapping[str, Any]], _Outcome]] = {
    "expect_table_columns_to_match_set": _match_columns,
    "expect_table_row_count_to_equal": _count_rows,
    "expect_table_row_count_to_be_between": _count_rows_between,
    "expect_column_max_to_be_between": _find_maximum,
    "expect_column_kl_divergence_to_be_less_than": _measure_divergence,
    "expect_column_values_to_be_unique": _find_repeated_values,
    "expect_column_values_to_be_in_set": _of_values(_is_in_set),
    "expect_column_values_to_match_regex": _of_values(_matches_regex),
    "expect_column_values_to_be_between": _of_values(_is_above),
    "expect_groups_to_keep_to_one_value": _find_groups_with_one_value,
}
