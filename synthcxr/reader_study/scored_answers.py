"""Answers joined with the answer key: one row per reading, as a data frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from synthcxr.data.findings import FINDINGS
from synthcxr.errors import DataError
from synthcxr.reader_study.answer import Answer
from synthcxr.reader_study.answer_key import AnswerKey, KeyScreen

UNSURE = 3
COLUMNS = (
    *("reader", "case", "cluster", "role", "task", "origin", "confidence", "called", "right", "seconds", "quality"),
    *("finding", "labels", "classifier", "marked", "comment"),
)


@dataclasses.dataclass(frozen=True)
class Reading:
    """The last answer of a reader to one screen, and the seconds of all visits to it."""

    reader: int
    position: int
    answer: Answer
    seconds: float


def score_readings(key: AnswerKey, readings: Iterable[Reading]) -> pd.DataFrame:
    """One row per reading, without practice.

    Columns, among others:
    - `case`: the image or pair, the same for all readers;
    - `confidence`: from 1, certainly real, to 5, certainly synthetic; in a pair, that the right image is real;
    - `called`: "real", "synthetic" or "unsure"; in a pair "left", "right" or "unsure";
    - `right`: 1 for a correct call, 0 for a wrong one, NaN for "unsure".

    Raises DataError for an answer to a screen that the key does not contain.
    """
    rows = []
    for reading in readings:
        screens = key.readers.get(reading.reader, ())
        if reading.position >= len(screens):
            raise DataError(
                f"reader {reading.reader} answered screen {reading.position + 1}, which the answer key does not contain"
            )
        screen = screens[reading.position]
        if screen.role != "practice":
            score = _score_pair if len(screen.images) > 1 else _score_single
            rows.append(score(key, screen, reading))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _score_single(key: AnswerKey, screen: KeyScreen, reading: Reading) -> dict[str, object]:
    truth, answer = key.truths[screen.images[0]], reading.answer
    called = _to_call(answer.confidence, "real", "synthetic")
    return _shared_columns(screen, reading) | {
        "case": truth.image_id,
        "cluster": truth.cluster,
        "task": "single",
        "origin": truth.origin,
        "called": called,
        "right": np.nan if called == "unsure" else float(called == truth.origin),
        "labels": truth.findings,
        "classifier": truth.present if truth.probabilities else None,
        "marked": answer.findings,
    }


def _score_pair(key: AnswerKey, screen: KeyScreen, reading: Reading) -> dict[str, object]:
    left, right = (key.truths[name] for name in screen.images)
    real_side = "left" if left.origin == "real" else "right"
    called = _to_call(reading.answer.confidence, "left", "right")
    return _shared_columns(screen, reading) | {
        "case": " ".join(sorted((left.image_id, right.image_id))),
        "cluster": (left if real_side == "left" else right).cluster,
        "task": "pair",
        "origin": real_side,
        "called": called,
        "right": np.nan if called == "unsure" else float(called == real_side),
        "labels": (screen.finding,),
        "classifier": None,
        "marked": None,
    }


def _shared_columns(screen: KeyScreen, reading: Reading) -> dict[str, object]:
    return {
        "reader": reading.reader,
        "role": screen.role,
        "confidence": reading.answer.confidence,
        "seconds": reading.seconds,
        "quality": reading.answer.quality,
        "finding": screen.finding,
        "comment": reading.answer.comment,
    }


def _to_call(confidence: int, low: str, high: str) -> str:
    return "unsure" if confidence == UNSURE else high if confidence > UNSURE else low


def to_finding_matrix(rows: pd.DataFrame, column: str) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Bool [rows, 14]: which findings each tuple of the column contains."""
    matrix = [[name in findings for name in FINDINGS] for findings in rows[column]]
    return np.array(matrix, dtype=np.bool_).reshape(-1, len(FINDINGS))


def to_reader_case_matrix(
    rows: pd.DataFrame, column: str
) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float64]], pd.Index]:
    """A column as float64 [readers, cases], NaN where a reader has not read a case; and the cases."""
    wide = rows.pivot_table(index="reader", columns="case", values=column, aggfunc="first", dropna=False)
    return wide.to_numpy(dtype=np.float64), wide.columns


def get_value_by_case(rows: pd.DataFrame, column: str) -> Mapping[str, object]:
    """The value of the column for each case."""
    return dict(zip(rows["case"], rows[column], strict=True))
