"""Analyse the answers of a reader study. A person runs it, DVC does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthcxr import records, whole
from synthcxr.errors import DataError
from synthcxr.report import plots
from synthcxr.study import analysis, answer, readings, served, sheet, statements
from synthcxr.study import key as keys
from synthcxr.study.answers import FILES, Answers
from synthcxr.study.readings import Given

RESULTS = ("analysis.json", "readings.csv", "readers.csv", "analysis.html")


@dataclasses.dataclass(frozen=True)
class Analysed:
    """The results as plain values, and in words."""

    out: Path
    result: dict[str, Any]
    sentences: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """The sentences, and where the rest is."""
        return (*self.sentences, f"{self.out}: {', '.join(sorted(RESULTS))}")


def run(study: Path, *, key: Path, out: Path, seed: int) -> Analysed:
    """Write analysis.json, readings.csv, readers.csv and analysis.html into `out`.

    DataError where there is no study, no key of it, or nobody has answered.
    """
    shown, held = served.read(study), keys.read(key)
    if held.study != shown.study:
        raise DataError(f"{key}: is the key of another study than {study}")
    records.refuse_strangers(out, RESULTS)
    database = study / FILES[False]
    if not database.is_file():
        raise DataError(f"{study}: nobody has read yet; start `synthcxr reader-study serve {study}`")
    given = (
        Given(reader, position, answer.of_json(text), seconds)
        for reader, position, text, seconds in Answers(database, shown.study).everything()
    )
    rows = readings.table(held, given)
    result = analysis.analyse(rows, held, seed=seed)
    sentences = statements.of(result)
    page = sheet.render(result, sentences, _figures(result), shown.title)
    records.write_json(out / "analysis.json", result | {"statements": list(sentences)})
    whole.text(out / "readings.csv", sheet.readings_csv(rows))
    whole.text(out / "readers.csv", sheet.readers_csv(result))
    whole.text(out / "analysis.html", page)
    return Analysed(out, result, sentences)


def _figures(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The drawn results, each with what it shows in words."""
    shares = {f"reader {number}": held["accuracy"] for number, held in result["readers"].items()}
    shares |= {"all readers": result["pooled"]["accuracy"]} if result["pooled"]["accuracy"] else {}
    shares = {name: share for name, share in shares.items() if share["value"] is not None}
    curves = {f"reader {number}": held["roc"] for number, held in result["readers"].items() if held["roc"]}
    drawn = []
    if shares:
        alt = "; ".join(f"{name} {share['value']:.0%}" for name, share in shares.items())
        drawn.append((f"Right answers: {alt}", plots.reader_shares(shares)))
    if curves:
        areas = (f"{name} {result['readers'][name.split()[1]]['auc']['value']:.2f}" for name in curves)
        drawn.append((f"ROC of confidence, area: {'; '.join(areas)}", plots.reader_roc(curves)))
    return drawn
