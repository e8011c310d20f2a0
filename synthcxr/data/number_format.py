"""How numbers are written for people: in messages, reports, model cards and reader studies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

NO_BREAK_SPACE = "\u00a0"
MISSING = "–"


def format_number(value: float | None, *, digits: int = 3, missing: str = MISSING) -> str:
    """A number with `digits` significant digits and never an exponent, such as 0.123, 12.3 or 12,345.

    Below 0.0001 it is rounded to six decimals.
    """
    if value is None:
        return missing
    value = _to_float(value)
    text = f"{value:.{digits}g}"
    if "e" not in text:
        return text
    return f"{value:,.0f}" if abs(value) >= 1 else f"{value:.6f}".rstrip("0").rstrip(".")


def format_decimals(value: float | None, *, decimals: int, missing: str = MISSING) -> str:
    """A number with a fixed number of decimals, such as an AUROC with three."""
    return missing if value is None else f"{_to_float(value):.{decimals}f}"


def format_count(n: int | None, *, missing: str = MISSING) -> str:
    """A count with thousands separators, such as 12,345."""
    return missing if n is None else f"{n:,}"


def format_quantity(n: int, noun: str) -> str:
    """A count and its noun, in the plural if the count is not 1: "1 film", "2,137 films"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def format_percent(
    share: float | None,
    *,
    decimals: int = 1,
    digits: int | None = None,
    missing: str = MISSING,
    space: str = " ",
) -> str:
    """A share of 1 as a percentage, such as "12.3 %".

    It has `decimals` decimals, or `digits` significant digits where these are given. `space` stands before the sign.
    """
    if share is None:
        return missing
    return f"{_percentage(share, decimals=decimals, digits=digits)}{space}%"


def format_interval(
    bounds: Sequence[float | None] | None,
    format_bound: Callable[[float], str] = format_number,
    *,
    template: str = "({} to {})",
) -> str:
    """The lower and upper bound of an interval, such as "(0.12 to 0.34)"; "" where either is missing."""
    if not bounds or None in bounds:
        return ""
    low, high = (format_bound(bound) for bound in bounds if bound is not None)
    return template.format(low, high)


def format_percent_interval(
    bounds: Sequence[float | None] | None,
    *,
    decimals: int = 1,
    digits: int | None = None,
    template: str = "({} to {})",
) -> str:
    """An interval of shares of 1 as percentages without the sign, such as "(12.3 to 34.5)"; "" where it is missing."""
    return format_interval(
        bounds, lambda share: _percentage(share, decimals=decimals, digits=digits), template=template
    )


def _percentage(share: float, *, decimals: int, digits: int | None) -> str:
    percent = 100 * _to_float(share)
    return f"{percent:.{decimals}f}" if digits is None else f"{percent:.{digits}g}"


def _to_float(value: float) -> float:
    """The value as a float; infinite for an integer beyond all floats, which a damaged file can hold."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
