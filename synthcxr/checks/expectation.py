"""Checks, declared once: an expectation in the vocabulary of great-expectations, its name and its sentence.

`direct_runner` runs them without the library, whose import takes seconds, and `gx_runner` with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Expectation:
    """The `type` and the `kwargs` of an expectation, as in a suite file of great-expectations."""

    type: str
    kwargs: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Check:
    """One expectation, the name of its line and the sentence that the report shows."""

    name: str
    sentence: str
    expectation: Expectation


def expect_columns(columns: Sequence[str]) -> Expectation:
    """Every one of these columns is present."""
    return Expectation("expect_table_columns_to_match_set", {"column_set": list(columns), "exact_match": False})


def expect_n_rows(n: int) -> Expectation:
    """The table has `n` rows."""
    return Expectation("expect_table_row_count_to_equal", {"value": n})


def expect_rows(min_n: int) -> Expectation:
    """The table has at least `min_n` rows."""
    return Expectation("expect_table_row_count_to_be_between", {"min_value": min_n})


def expect_unique(column: str) -> Expectation:
    """No value occurs twice."""
    return Expectation("expect_column_values_to_be_unique", {"column": column})


def expect_in(column: str, values: Sequence[Any]) -> Expectation:
    """Every value is one of these."""
    return Expectation("expect_column_values_to_be_in_set", {"column": column, "value_set": list(values)})


def expect_true(column: str) -> Expectation:
    """Every value is True."""
    return expect_in(column, [True])


def expect_match(column: str, regex: str) -> Expectation:
    """The regular expression is found in every value."""
    return Expectation("expect_column_values_to_match_regex", {"column": column, "regex": regex})


def expect_at_least(column: str, bound: float) -> Expectation:
    """Every value is at least `bound`."""
    return Expectation("expect_column_values_to_be_between", {"column": column, "min_value": bound})


def expect_above(column: str, bound: float) -> Expectation:
    """Every value is above `bound`."""
    return Expectation("expect_column_values_to_be_between", {"column": column, "min_value": bound, "strict_min": True})


def expect_maximum(column: str, bound: float) -> Expectation:
    """The largest value is at least `bound`."""
    return Expectation("expect_column_max_to_be_between", {"column": column, "min_value": bound})


def expect_one_value(group: str, column: str) -> Expectation:
    """Rows with the same value of `group` have the same value of `column`."""
    return Expectation("expect_groups_to_keep_to_one_value", {"column_list": [group, column]})


def expect_kl_divergence(
    column: str, shares: Mapping[str, float], *, threshold: float, tail_weight_holdout: float
) -> Expectation:
    """The KL divergence of the values from `shares`, which sum to 1, is at most `threshold` nats."""
    partition = {"values": list(shares), "weights": list(shares.values())}
    return Expectation(
        "expect_column_kl_divergence_to_be_less_than",
        {
            "column": column,
            "partition_object": partition,
            "threshold": threshold,
            "tail_weight_holdout": tail_weight_holdout,
        },
    )
