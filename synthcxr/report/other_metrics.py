"""What the report says beside the Frechet distance: kernel distance, extrapolation, precision and coverage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synthcxr.report.text import Row, Table, features, interval, number

_HEADINGS = ("Features", "Kernel distance (floor)", "At infinity: synthetic (training)", "Precision", "Recall",
             "Coverage", "Coverage, times training films'")  # fmt: skip


def table(metrics: Mapping[str, Any]) -> Table:
    """A row for each extractor that has any of them."""
    names = [name for name, held in metrics.get("coverage", {}).items() if held["status"] == "computed"]
    return Table(_HEADINGS, tuple(_row(name, metrics) for name in names))


def notes(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """How alike random pairs are, and how well the judge agrees with the classifier."""
    said = []
    similar = metrics.get("similarity", {"status": ""})
    if similar["status"] == "computed":
        said.append(
            f"Random pairs of images have an MS-SSIM of {number(similar['synthetic'])}"
            f" {interval(similar['synthetic_interval'])}, of real films {number(similar['real'])}"
            f" {interval(similar['real_interval'])}: higher among images means less variety."
        )
    return tuple(said)


def _row(name: str, metrics: Mapping[str, Any]) -> Row:
    kernel, infinity, coverage = (metrics[section][name] for section in ("kernel", "infinity", "coverage"))
    made = coverage["synthetic"]
    return (
        features(name),
        ""
        if "value" not in kernel
        else f"{number(kernel['value'])} ± {number(kernel['std'])} ({number(kernel['floor'])})",
        ""
        if "synthetic" not in infinity
        else f"{number(infinity['synthetic']['value'])} ({number(infinity['training']['value'])})",
        *(number(made[key]) for key in ("precision", "recall", "coverage")),
        f"{number(coverage['relative'])} {interval(coverage['relative_interval'])}",
    )
