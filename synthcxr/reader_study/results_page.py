"""The results on one HTML page that needs nothing beside it, and as tables of CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from synthcxr.data.findings import FINDINGS, LABEL_SEPARATOR

Row = tuple[str, ...]
Figures = Sequence[tuple[str, str]]


def render(result: Mapping[str, Any], sentences: Iterable[str], figures: Figures, title: str) -> str:
    """The page; `figures` are (what it shows in words, our own SVG). Whatever readers typed is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawn = [(alt, Markup(svg)) for alt, svg in figures]
    tables = [_readers(result), _agreement(result), _findings(result), _classifier(result), _time(result)]
    return environment.get_template("results_page.html").render(
        title=title, sentences=list(sentences), figures=drawn, tables=tables, result=result
    )


def readings_csv(rows: pd.DataFrame) -> str:
    """Every counted reading as a row; lists of findings joined by |."""
    held = rows.copy()
    for column in ("labels", "classifier", "marked"):
        held[column] = ["" if value is None else LABEL_SEPARATOR.join(value) for value in held[column]]
    return str(held.drop(columns="cluster").to_csv(index=False, lineterminator="\n"))


def readers_csv(result: Mapping[str, Any]) -> str:
    """The results of each reader as a row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    parts = ("accuracy", "sensitivity", "false_alarms", "auc")
    writer.writerow(
        ["reader", "n", "complete", "unsure", *(f"{part}{end}" for part in parts for end in ("", "_low", "_high"))]
        + ["accuracy_p", "seconds_median"]
    )
    for number, reader in result["readers"].items():
        values = [reader[part][end] for part in parts for end in ("value", "low", "high")]
        held = [number, reader["n"], reader["complete"], reader["n_unsure"], *values]
        writer.writerow([*held, reader["accuracy"].get("p"), reader["seconds"]["median"]])
    return text.getvalue()


def _readers(result: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        (
            f"Reader {number}",
            str(reader["n"]),
            str(reader["n_unsure"]),
            *(_share(reader[part]) for part in ("accuracy", "sensitivity", "false_alarms")),
            _number(reader["auc"]),
            _share(reader["pairs"]),
        )
        for number, reader in result["readers"].items()
    ]
    pooled = result["pooled"]
    shares = (_share(pooled[part]) for part in ("accuracy", "sensitivity", "false_alarms"))
    of_pairs = _share(result["pairs"]["accuracy"]) if result["pairs"] else ""
    rows.append(("All readers", "", "", *shares, _number(pooled["auc"]), of_pairs))
    head = ("", "images", "unsure", "right", "synthetic called so", "real called synthetic", "AUC", "pairs right")
    note = (
        "Exact intervals for each reader, of those that took a side; for all of them over readers and cases together."
    )
    return {"title": "Accuracy", "head": head, "rows": rows, "note": note}


def _agreement(result: Mapping[str, Any]) -> dict[str, Any]:
    between = result["between_readers"]
    rows: list[Row] = [("All readers, Fleiss' kappa", _number(between["fleiss"]), f"{between['n_cases']} images")]
    rows += [
        (f"Readers {pair['readers'][0]} and {pair['readers'][1]}, Cohen's kappa", _number(pair["kappa"]), "")
        for pair in between["cohen"]
    ]
    for number, reader in result["readers"].items():
        held = reader["repeats"]
        rows.append((f"Reader {number}, same image again: same call", _share(held["same_call"]), f"{held['n']} images"))
        rows.append((f"Reader {number}, weighted kappa of confidence", _number(held["kappa"]), ""))
    return {
        "title": "Agreement",
        "head": ("", "value", "of"),
        "rows": rows,
        "note": "Calls are real, unsure, synthetic. Intervals over images.",
    }


def _findings(result: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        (name.replace("_", " "), str(part["n_cases"]), _share(part["accuracy"]))
        for name, part in result["by_finding"].items()
        if part["n_cases"]
    ]
    note = "Of images that carry the finding: real by the label of the film, synthetic by the classifier's."
    return {"title": "By finding", "head": ("", "images", "right"), "rows": rows, "note": f"{note} - is fewer than 10."}


def _classifier(result: Mapping[str, Any]) -> dict[str, Any]:
    held = {origin: part.get("findings", {}) for origin, part in result["classifier"].items()}
    rows = [
        (name.replace("_", " "), *(cell for origin in held for cell in _marked(held[origin].get(name))))
        for name in FINDINGS
        if any(held[origin].get(name, {}).get("n") for origin in held)
    ]
    head = ("", "real: readings", "marked too", "synthetic: readings", "marked too")
    states = {origin: part["status"] for origin, part in result["classifier"].items() if part["status"] != "computed"}
    note = "Readings of images that the classifier labels with the finding, and how many of them mark it too."
    note += "".join(f" On {origin} images {status}." for origin, status in states.items())
    return {"title": "Readers and the classifier", "head": head, "rows": rows, "note": note}


def _marked(part: Mapping[str, Any] | None) -> Row:
    if not part or not part["n"]:
        return ("0", "-")
    low, high = part["interval"] or (None, None)
    return str(part["n"]), _share({"value": part["share"], "low": low, "high": high})


def _time(result: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        (name, f"{part['median']:.0f}", f"{part['quartiles'][0]:.0f} to {part['quartiles'][1]:.0f}", str(part["n"]))
        for name, part in result["time"].items()
        if part["median"] is not None
    ]
    note = "Seconds an image while the page was in view, all visits together."
    return {"title": "Time", "head": ("", "median", "middle half", "readings"), "rows": rows, "note": note}


def _share(part: Mapping[str, Any] | None) -> str:
    if part is None or part["value"] is None:
        return "-"
    interval = "" if part["low"] is None else f" ({100 * part['low']:.1f} to {100 * part['high']:.1f})"
    return f"{100 * part['value']:.1f} %{interval}"


def _number(part: Mapping[str, Any] | None) -> str:
    if part is None or part["value"] is None:
        return "-"
    interval = "" if part["low"] is None else f" ({part['low']:.2f} to {part['high']:.2f})"
    return f"{part['value']:.2f}{interval}"
