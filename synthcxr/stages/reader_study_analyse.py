"""Analyse the answers of a reader study. This command is run by a person, not by DVC."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthcxr.errors import DataError
from synthcxr.reader_study.analysis import analyse_readings
from synthcxr.reader_study.answer import answer_from_json
from synthcxr.reader_study.answer_key import read_answer_key
from synthcxr.reader_study.answer_store import STUDY_DATABASE, AnswerStore
from synthcxr.reader_study.conclusions import draw_conclusions
from synthcxr.reader_study.public_files import read_served_study
from synthcxr.reader_study.results_page import render_readers_csv, render_readings_csv, render_results_page
from synthcxr.reader_study.scored_answers import Reading, score_readings
from synthcxr.report import plots
from synthcxr.storage import atomic, json_files
from synthcxr.storage.overwrite_guard import refuse_foreign_files, remove_partial_files

OUTPUT_FILES = ("analysis.json", "readings.csv", "readers.csv", "analysis.html")


@dataclasses.dataclass(frozen=True)
class StudyAnalysis:
    """The results as plain values, and the conclusions in sentences."""

    out: Path
    result: dict[str, Any]
    sentences: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """The conclusions, and the names of the files."""
        return (*self.sentences, f"{self.out}: {', '.join(sorted(OUTPUT_FILES))}")


def run(study: Path, *, key: Path, out: Path, seed: int) -> StudyAnalysis:
    """Write analysis.json, readings.csv, readers.csv and analysis.html into `out`.

    Raises DataError if there is no study, its answer key is missing, or there are no answers.
    """
    served_study, answer_key = read_served_study(study), read_answer_key(key)
    if answer_key.study != served_study.study:
        raise DataError(f"{key}: is the answer key of another study, not of {study}; give --key")
    refuse_foreign_files(out, OUTPUT_FILES)
    remove_partial_files(out, OUTPUT_FILES)
    database = study / STUDY_DATABASE
    if not database.is_file():
        raise DataError(f"{study}: no reader has answered yet; run `synthcxr reader-study serve {study}`")
    readings = (
        Reading(reader, position, answer_from_json(text), seconds)
        for reader, position, text, seconds in AnswerStore(database, served_study.study).read_all()
    )
    rows = score_readings(answer_key, readings)
    result = analyse_readings(rows, answer_key, seed=seed)
    sentences = draw_conclusions(result)
    page = render_results_page(result, sentences, _draw_figures(result), served_study.title)
    json_files.write_json(out / "analysis.json", result | {"statements": list(sentences)})
    atomic.write_text(out / "readings.csv", render_readings_csv(rows))
    atomic.write_text(out / "readers.csv", render_readers_csv(result))
    atomic.write_text(out / "analysis.html", page)
    return StudyAnalysis(out, result, sentences)


def _draw_figures(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The plots, each as a description and an SVG."""
    readers = {f"reader {number}": reader for number, reader in result["readers"].items()}
    accuracies = {name: reader["accuracy"] for name, reader in readers.items()}
    if result["pooled"]["accuracy"]:
        accuracies["all readers"] = result["pooled"]["accuracy"]
    accuracies = {name: accuracy for name, accuracy in accuracies.items() if accuracy["value"] is not None}
    curves = {name: reader["roc"] for name, reader in readers.items() if reader["roc"]}
    figures = []
    if accuracies:
        values = "; ".join(f"{name} {accuracy['value']:.0%}" for name, accuracy in accuracies.items())
        figures.append((f"Accuracy: {values}", plots.draw_reader_accuracy(accuracies)))
    if curves:
        values = "; ".join(f"{name} {readers[name]['auc']['value']:.2f}" for name in curves)
        figures.append((f"ROC curves of the confidence, AUC: {values}", plots.draw_reader_roc(curves)))
    return figures
