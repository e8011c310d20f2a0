"""The metrics of gates in words, and their values as people read them: the same digits wherever a number is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synthcxr.data.evidence.gate_metrics import EACH, fill_placeholders, find_gate_metric
from synthcxr.data.metrics_schema import PIXELS, GateDirection, MetricsJson
from synthcxr.data.model_names import name_features_briefly
from synthcxr.data.number_format import MISSING, format_interval, format_number, format_percent

_MAX_DIGITS = 8


def name_metric(metric: str) -> str:
    """A metric in words, such as "label validity of Mass"; the metric itself if it has none."""
    declaration = find_gate_metric(metric)
    match = declaration and declaration.pattern.fullmatch(metric)
    if not declaration or not match:
        return metric
    words = {kind: _name_part(kind, name) for kind, name in match.groupdict().items()}
    return fill_placeholders(declaration.name, words)


def name_metric_in_full(metric: str) -> str:
    """A metric in words, with its path in brackets."""
    words = name_metric(metric)
    return words if words == metric else f"{words} ({metric})"


def format_metric(metric: str, value: float | None, *, limit: float | None = None) -> str:
    """The value of a metric, a share as a percentage; with as many digits as tell it from its limit."""
    if value is None:
        return MISSING
    is_share = _is_share(metric)
    for extra in range(_MAX_DIGITS):
        text = format_percent(value, decimals=1 + extra) if is_share else format_number(value, digits=3 + extra)
        if limit is None or value == limit or _read_number(text) != _read_number(format_limit(metric, limit)):
            return text
    return text


def format_metric_interval(metric: str, interval: Sequence[float | None] | None) -> str:
    """The interval of a metric within a text, such as "(95 % CI 0.1 to 0.2)"; "" where there is none."""
    return format_interval(
        interval,
        lambda bound: format_metric(metric, bound).removesuffix(" %"),
        template="(95 % CI {} to {})",
    )


def format_limit(metric: str, limit: float) -> str:
    """A limit, that of a share as a percentage."""
    return f"{100 * limit:g} %" if _is_share(metric) else format_number(limit)


def describe_target(metric: str, direction: GateDirection, limit: float) -> str:
    """What a gate requires, such as "target at most 3"."""
    return f"target at {'most' if direction == 'max' else 'least'} {format_limit(metric, limit)}"


def find_interval(metrics: MetricsJson, metric: str) -> Sequence[float] | None:
    """The interval beside the value of a metric, or None."""
    *parents, key = metric.split(".")
    node: Any = metrics
    for parent in parents:
        node = node.get(parent) if isinstance(node, Mapping) else None
    interval = node.get("interval" if key == "value" else f"{key}_interval") if isinstance(node, Mapping) else None
    return interval if interval and None not in interval else None


def _is_share(metric: str) -> bool:
    declaration = find_gate_metric(metric)
    return declaration is not None and declaration.is_share


def _name_part(kind: str, name: str) -> str:
    """The name at a placeholder in words."""
    if kind in ("extractor", "space"):
        return {EACH: "each space", PIXELS: PIXELS}.get(name) or name_features_briefly(name)
    each = "each metric" if kind == "metric" else "each finding"
    return each if name == EACH else name.replace("_", " ")


def _read_number(text: str) -> float:
    return float(text.removesuffix(" %").replace(",", ""))
