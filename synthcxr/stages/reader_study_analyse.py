"""Analyse the answers of a reader study. A person runs it, DVC does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthcxr.errors import DataError
from synthcxr.reader_study import analysis, answer, conclusions, public_files, results_page, scored_answers
from synthcxr.reader_study import answer_key as keys
from synthcxr.reader_study.answer_store import FILES, Answers
from synthcxr.reader_study.scored_answers import Given
from synthcxr.report import plots
from synthcxr.storage import atomic, json_files
from synthcxr.storage.overwrite_guard import refuse_foreign_files

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
    shown, held = public_files.read(study), keys.read(key)
    if held.study != shown.study:
        raise DataError(f"{key}: is the key of another study than {study}")
    refuse_foreign_files(out, RESULTS)
    database = study / FILES[False]
    if not database.is_file():
        raise DataError(f"{study}: nobody has read yet; start `synthcxr reader-study serve {study}`")
    given = (
        Given(reader, position, answer.of_json(text), seconds)
        for reader, position, text, seconds in Answers(database, shown.study).everything()
    )
    rows = scored_answers.table(held, given)
    result = analysis.analyse(rows, held, seed=seed)
    sentences = conclusions.of(result)
    page = results_page.render(result, sentences, _figures(result), shown.title)
    json_files.write_json(out / "analysis.json", result | {"statements": list(sentences)})
    atomic.write_text(out / "readings.csv", results_page.readings_csv(rows))
    atomic.write_text(out / "readers.csv", results_page.readers_csv(result))
    atomic.write_text(out / "analysis.html", page)
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
