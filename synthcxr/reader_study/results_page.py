"""The results as a self-contained HTML page and as CSV tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from synthcxr.data.findings import FINDINGS, LABEL_SEPARATOR
from synthcxr.data.number_format import (
    format_decimals,
    format_interval,
    format_percent,
    format_percent_interval,
)
from synthcxr.project.html_templates import render_page

Row = tuple[str, ...]
Figures = Sequence[tuple[str, str]]
_TEMPLATE = Path(__file__).with_name("results_page.html")


def render_results_page(result: Mapping[str, Any], sentences: Iterable[str], figures: Figures, title: str) -> str:
    """Render the page. `figures` are pairs of a description and an SVG of our own. Text from readers is escaped."""
    tables = [
        _tabulate_accuracy(result),
        _tabulate_agreement(result),
        _tabulate_findings(result),
        _tabulate_classifier(result),
        _tabulate_time(result),
    ]
    return render_page(
        _TEMPLATE,
        title=title,
        sentences=list(sentences),
        figures=[(description, Markup(svg)) for description, svg in figures],
        tables=tables,
        result=result,
    )


def render_readings_csv(rows: pd.DataFrame) -> str:
    """One row per reading. Findings are separated by |; a comment that starts like a formula gets an apostrophe."""
    table = rows.copy()
    for column in ("labels", "classifier", "marked"):
        table[column] = ["" if findings is None else LABEL_SEPARATOR.join(findings) for findings in table[column]]
    for column in table.columns:
        table[column] = [_escape_formula(value) if isinstance(value, str) else value for value in table[column]]
    return str(table.drop(columns="cluster").to_csv(index=False, lineterminator="\n"))


def _escape_formula(text: str) -> str:
    """A cell that a spreadsheet shows as text: one that would be a formula gets an apostrophe in front."""
    return f"'{text}" if text.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


def render_readers_csv(result: Mapping[str, Any]) -> str:
    """One row per reader."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    metrics = ("accuracy", "sensitivity", "false_alarms", "auc")
    writer.writerow([
        *("reader", "n", "complete", "unsure"),
        *(f"{metric}{suffix}" for metric in metrics for suffix in ("", "_low", "_high")),
        *("accuracy_p", "seconds_median"),
    ])  # fmt: skip
    for number, reader in result["readers"].items():
        writer.writerow([
            *(number, reader["n"], reader["complete"], reader["n_unsure"]),
            *(reader[metric][bound] for metric in metrics for bound in ("value", "low", "high")),
            *(reader["accuracy"].get("p"), reader["seconds"]["median"]),
        ])  # fmt: skip
    return text.getvalue()


def _tabulate_accuracy(result: Mapping[str, Any]) -> dict[str, Any]:
    shares = ("accuracy", "sensitivity", "false_alarms")
    rows = [
        (
            f"Reader {number}",
            str(reader["n"]),
            str(reader["n_unsure"]),
            *(_format_share(reader[name]) for name in shares),
            _format_decimals(reader["auc"]),
            _format_share(reader["pairs"]),
        )
        for number, reader in result["readers"].items()
    ]
    pooled = result["pooled"]
    pair_accuracy = _format_share(result["pairs"]["accuracy"]) if result["pairs"] else ""
    rows.append((
        *("All readers", "", ""),
        *(_format_share(pooled[name]) for name in shares),
        *(_format_decimals(pooled["auc"]), pair_accuracy),
    ))  # fmt: skip
    return {
        "title": "Accuracy",
        "head": ("", "images", "unsure", "accuracy", "sensitivity", "false alarms", "AUC", "accuracy, pairs"),
        "rows": rows,
        "note": (
            "Accuracy: share of correct calls, without unsure ones. Sensitivity: share of synthetic images called"
            " synthetic. False alarms: share of real films called synthetic. The intervals of one reader are"
            " exact for shares and Newcombe's for the AUC. For all readers, both readers and images are resampled."
        ),
    }


def _tabulate_agreement(result: Mapping[str, Any]) -> dict[str, Any]:
    between_readers = result["between_readers"]
    rows: list[Row] = [
        ("All readers, Fleiss' kappa", _format_decimals(between_readers["fleiss"]), str(between_readers["n_cases"]))
    ]
    for pair in between_readers["cohen"]:
        first, second = pair["readers"]
        n_images = str(pair["kappa"]["n"])
        rows.append((f"Readers {first} and {second}, Cohen's kappa", _format_decimals(pair["kappa"]), n_images))
    for number, reader in result["readers"].items():
        repeats, n_images = reader["repeats"], str(reader["repeats"]["n"])
        rows.append((f"Reader {number}, same call on repeats", _format_share(repeats["same_call"]), n_images))
        rows.append((f"Reader {number}, weighted kappa on repeats", _format_decimals(repeats["kappa"]), n_images))
    return {
        "title": "Agreement",
        "head": ("", "value", "images"),
        "rows": rows,
        "note": (
            "Between readers, a call is real, unsure or synthetic. On repeats, the weighted kappa (quadratic weights)"
            " compares the five levels of confidence. Kappa intervals are bootstrapped over images."
        ),
    }


def _tabulate_findings(result: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        (_to_words(name), str(part["n_cases"]), _format_share(part["accuracy"]))
        for name, part in result["by_finding"].items()
        if part["n_cases"]
    ]
    return {
        "title": "Accuracy by finding",
        "head": ("", "images", "accuracy"),
        "rows": rows,
        "note": (
            "A real film has a finding if its label says so, a synthetic image if the classifier says so."
            " – means fewer than 10 images."
        ),
    }


def _tabulate_classifier(result: Mapping[str, Any]) -> dict[str, Any]:
    by_origin = {origin: part.get("findings", {}) for origin, part in result["classifier"].items()}
    rows = [
        (_to_words(name), *(cell for findings in by_origin.values() for cell in _format_marked(findings.get(name))))
        for name in FINDINGS
        if any(findings.get(name, {}).get("n") for findings in by_origin.values())
    ]
    notes = [
        "Readings of images that the classifier labels with the finding, and the share that mark it too.",
        "– means fewer than 10 readings.",
    ]
    notes += [
        f"For {origin} images: {part['status']}."
        for origin, part in result["classifier"].items()
        if part["status"] != "computed"
    ]
    return {
        "title": "Readers and the classifier",
        "head": ("", "real: readings", "marked", "synthetic: readings", "marked"),
        "rows": rows,
        "note": " ".join(notes),
    }


def _format_marked(part: Mapping[str, Any] | None) -> Row:
    if not part or not part["n"]:
        return "0", _format_share(None)
    low, high = part["interval"] or (None, None)
    return str(part["n"]), _format_share({"value": part["share"], "low": low, "high": high})


def _tabulate_time(result: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        (
            name,
            format_decimals(part["median"], decimals=0),
            format_interval(part["quartiles"], lambda bound: format_decimals(bound, decimals=0), template="{} to {}"),
            str(part["n"]),
        )
        for name, part in result["time"].items()
        if part["median"] is not None
    ]
    return {
        "title": "Reading time",
        "head": ("", "median, s", "quartiles, s", "readings"),
        "rows": rows,
        "note": "Seconds per image while the page was visible and not paused, over all visits to the image.",
    }


def _to_words(finding: str) -> str:
    return finding.replace("_", " ")


def _format_share(estimate: Mapping[str, Any] | None) -> str:
    if estimate is None:
        return format_percent(None)
    interval = format_percent_interval((estimate["low"], estimate["high"]))
    return f"{format_percent(estimate['value'])} {interval}".rstrip()


def _format_decimals(estimate: Mapping[str, Any] | None) -> str:
    if estimate is None:
        return format_decimals(None, decimals=2)
    interval = format_interval((estimate["low"], estimate["high"]), lambda bound: format_decimals(bound, decimals=2))
    return f"{format_decimals(estimate['value'], decimals=2)} {interval}".rstrip()
