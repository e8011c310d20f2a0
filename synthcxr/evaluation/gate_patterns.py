"""Gates on several metrics at once: a `*` in a metric's path stands for every name that has a value."""

from __future__ import annotations

import re
from collections.abc import Iterable

from synthcxr.data.evidence.gate_metrics import EACH


def is_pattern(metric: str) -> bool:
    """Whether a gate's metric stands for several metrics."""
    return EACH in metric.split(".")


def match_metrics(metric: str, known: Iterable[str]) -> tuple[str, ...]:
    """The metrics among `known` that a gate names: itself, or all that match its pattern."""
    if not is_pattern(metric):
        return tuple(path for path in known if path == metric)
    parts = (r"[^.]+" if part == EACH else re.escape(part) for part in metric.split("."))
    pattern = re.compile(r"\.".join(parts))
    return tuple(path for path in known if pattern.fullmatch(path))
