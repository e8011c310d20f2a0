"""The words of a check's line, whichever runner evaluated it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_ROWS = 20
"""A failed line names at most this many rows."""
_BOUNDS = {"value": "exactly", "threshold": "at most", "max_value": "at most", "min_value": "at least"}


def describe_values(
    *, value: float | None, n_failing: int | None, n_rows: int, kwargs: Mapping[str, Any]
) -> tuple[str, str]:
    """The observed value and its bound as short texts; empty for an expectation about neither rows nor a value."""
    if n_failing is not None:
        return f"{n_failing:,} of {n_rows:,} rows differ", "at most 0"
    if value is None:
        return "", ""
    texts = (f"{sign} {_format_value(kwargs[key], 6)}" for key, sign in _BOUNDS.items() if kwargs.get(key) is not None)
    return _format_value(value, 4), next(texts, "")


def describe_failure(
    sentence: str, *, is_missing: bool, n_failing: int, n_rows: int, value: object = None, exception: str | None = None
) -> str:
    """The sentence of a failed check, and in what way it does not hold."""
    if is_missing:
        return f"{sentence}: missing"
    if n_failing:
        return f"{sentence}: fails for {n_failing:,} of {n_rows:,} rows"
    if exception is not None:
        return f"{sentence}: could not be checked ({exception})"
    if value is None:
        return sentence
    return f"{sentence}: found {_format_value(value, 6) if isinstance(value, int | float) else value}"


def _format_value(value: float, digits: int) -> str:
    """Format a count in full with commas, and a float with `digits` significant digits."""
    return f"{value:.{digits}g}" if isinstance(value, float) else f"{value:,}"
