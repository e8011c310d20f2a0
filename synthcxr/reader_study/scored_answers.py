"""What was read: a row for each answered screen that counts, joined with the key."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from synthcxr.data.findings import FINDINGS
from synthcxr.errors import DataError
from synthcxr.reader_study.answer import Answer
from synthcxr.reader_study.answer_key import Key, Place

UNSURE = 3
COLUMNS = (
    *("reader", "case", "cluster", "role", "task", "origin", "confidence", "called", "right", "seconds", "quality"),
    *("finding", "labels", "classifier", "marked", "comment"),
)


@dataclasses.dataclass(frozen=True)
class Given:
    """The answer that stands for one screen, and the seconds that all visits to it took."""

    reader: int
    position: int
    answer: Answer
    seconds: float


def table(key: Key, given: Iterable[Given]) -> pd.DataFrame:
    """One row an answer that is no practice.

    `confidence` runs from 1, surely real, to 5, surely synthetic; of a pair it is that the right one is real. `called`
    is "real", "synthetic" or "unsure", of a pair "left", "right" or "unsure"; `right` is NaN for the unsure. `case`
    names the image or pair, the same for all readers. DataError for answers to another study.
    """
    rows = []
    for held in given:
        places = key.readers.get(held.reader, ())
        if held.position >= len(places):
            raise DataError(f"reader {held.reader} answered screen {held.position + 1}, which the key does not know")
        place = places[held.position]
        if place.role != "practice":
            rows.append((_pair if len(place.images) > 1 else _single)(key, place, held))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _single(key: Key, place: Place, held: Given) -> dict[str, object]:
    truth, answer = key.truths[place.images[0]], held.answer
    called = _called(answer.confidence, "real", "synthetic")
    return _shared(place, held) | {
        "case": truth.same,
        "cluster": truth.cluster,
        "task": "single",
        "origin": truth.origin,
        "called": called,
        "right": np.nan if called == "unsure" else float(called == truth.origin),
        "labels": truth.findings,
        "classifier": truth.present if truth.classifier else None,
        "marked": answer.findings,
    }


def _pair(key: Key, place: Place, held: Given) -> dict[str, object]:
    left, right = (key.truths[name] for name in place.images)
    side = "left" if left.origin == "real" else "right"
    called = _called(held.answer.confidence, "left", "right")
    return _shared(place, held) | {
        "case": " ".join(sorted((left.same, right.same))),
        "cluster": (left if side == "left" else right).cluster,
        "task": "pair",
        "origin": side,
        "called": called,
        "right": np.nan if called == "unsure" else float(called == side),
        "labels": (place.finding,),
        "classifier": None,
        "marked": None,
    }


def _shared(place: Place, held: Given) -> dict[str, object]:
    return {
        "reader": held.reader,
        "role": place.role,
        "confidence": held.answer.confidence,
        "seconds": held.seconds,
        "quality": held.answer.quality,
        "finding": place.finding,
        "comment": held.answer.comment,
    }


def _called(confidence: int, low: str, high: str) -> str:
    return "unsure" if confidence == UNSURE else high if confidence > UNSURE else low


def marks(rows: pd.DataFrame, column: str) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Bool [rows, 14]: which findings a column of tuples names."""
    return np.array([[name in held for name in FINDINGS] for held in rows[column]], dtype=np.bool_).reshape(-1, 14)


def grid(rows: pd.DataFrame, column: str) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float64]], pd.Index]:
    """A column as float64 [readers, cases], NaN where a reader has not read a case, and the cases."""
    wide = rows.pivot_table(index="reader", columns="case", values=column, aggfunc="first", dropna=False)
    return wide.to_numpy(dtype=np.float64), wide.columns


def by_case(rows: pd.DataFrame, column: str) -> Mapping[str, object]:
    """What a column says of each case."""
    return dict(zip(rows["case"], rows[column], strict=True))
