"""Names and numbers as the report writes them. A no-break space keeps a number, its unit and its interval together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from synthcxr.data.findings import LABEL_SEPARATOR
from synthcxr.data.metrics_rows import Auroc
from synthcxr.data.metrics_schema import PIXELS
from synthcxr.data.model_names import name_network
from synthcxr.data.number_format import (
    NO_BREAK_SPACE,
    format_decimals,
    format_interval,
    format_number,
    format_percent,
    format_percent_interval,
)

_TEMPLATE = f"({{}}{NO_BREAK_SPACE}to{NO_BREAK_SPACE}{{}})"
_TEMPLATE_IN_TEXT = "(95 % CI {} to {})".replace(" ", NO_BREAK_SPACE)
_AUROC_DECIMALS = 3


def name_space_in_heading(space: str, names: Mapping[str, str]) -> str:
    """A space in which copies are searched: pixels, or the network of an extractor. `names` is that of metrics.json."""
    return "Pixels" if space == PIXELS else name_network(space, names)


def spell_finding(finding: str) -> str:
    """A finding with spaces for underscores."""
    return finding.replace("_", " ")


def spell_labels(labels: str) -> str:
    """The cell "Finding Labels" of metadata.csv as a list."""
    return spell_finding(labels.replace(LABEL_SEPARATOR, ", "))


def mark_not_judged(row: Mapping[str, object]) -> str:
    """A star for a finding that enters no gate, because its threshold rests on too few val films."""
    return "" if row.get("judged", True) else " *"


def format_share(share: float | None) -> str:
    """A share as a percentage with one decimal."""
    return format_percent(share, space=NO_BREAK_SPACE)


def format_estimate(value: float | None, interval: Sequence[float | None] | None, *, in_text: bool = False) -> str:
    """A value and its interval. Within a text the interval is called a 95 % CI; in a table the heading does so."""
    template = _TEMPLATE_IN_TEXT if in_text else _TEMPLATE
    return f"{format_number(value)} {format_interval(interval, template=template)}".rstrip()


def format_share_estimate(
    share: float | None, interval: Sequence[float | None] | None, *, in_text: bool = False
) -> str:
    """A share and its interval as percentages."""
    template = _TEMPLATE_IN_TEXT if in_text else _TEMPLATE
    return f"{format_share(share)} {format_percent_interval(interval, template=template)}".rstrip()


def format_auroc(estimate: Auroc, *, in_text: bool = False) -> str:
    """An AUROC and its interval."""
    template = _TEMPLATE_IN_TEXT if in_text else _TEMPLATE
    interval = format_interval(
        estimate["interval"], lambda bound: format_decimals(bound, decimals=_AUROC_DECIMALS), template=template
    )
    return f"{format_decimals(estimate['value'], decimals=_AUROC_DECIMALS)} {interval}".rstrip()
