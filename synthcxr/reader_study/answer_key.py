"""The answer key of a study: the truth about each image, and the access codes.

It is in a folder of its own, which can be moved away from the machine that serves. `serve` opens it only to teach.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from synthcxr.config import parsing
from synthcxr.errors import DataError
from synthcxr.reader_study.design import Origin, Role
from synthcxr.storage import atomic, csv_files, guarded_files, json_files

KEY_FOLDER, KEY_FILE, CODES_FILE = "key", "key.json", "codes.csv"
_VERSION = 1


@dataclasses.dataclass(frozen=True)
class ImageTruth:
    """The truth about one image file.

    `image_id` identifies the image, such as "real:NAME"; a repeat is another file of the same image. `cluster` is the
    patient of a film, or the image itself. `findings` are the labels of the film, or those of the classifier.
    `probabilities` are those of the classifier by finding, empty if it did not label the image; `present` are the
    findings at or above their thresholds.
    """

    origin: Origin
    image_id: str
    cluster: str
    findings: tuple[str, ...]
    probabilities: Mapping[str, float]
    present: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class KeyScreen:
    """The role of one screen of one reader, and its image files from left to right. Field names are JSON keys."""

    role: Role
    images: tuple[str, ...]
    finding: str = ""


@dataclasses.dataclass(frozen=True)
class AnswerKey:
    """The whole key. `about` describes the films, the images and the design of the study."""

    study: str
    about: Mapping[str, Any]
    truths: Mapping[str, ImageTruth]
    readers: Mapping[int, tuple[KeyScreen, ...]]


class _TruthJson(TypedDict):
    origin: Origin
    same: str
    cluster: str
    findings: list[str]
    classifier: dict[str, float]
    present: list[str]


class _KeyJson(TypedDict):
    version: int
    study: str
    about: dict[str, Any]
    truths: dict[str, _TruthJson]
    readers: dict[str, list[KeyScreen]]


def write_answer_key(folder: Path, key: AnswerKey, codes: Sequence[str]) -> None:
    """Write key.json and codes.csv into a new folder that only its owner can read."""
    folder.mkdir(mode=0o700)
    fields = {
        "study": key.study,
        "about": key.about,
        "truths": {file_name: _truth_to_json(truth) for file_name, truth in key.truths.items()},
        "readers": {
            str(number): [dataclasses.asdict(screen) for screen in screens] for number, screens in key.readers.items()
        },
        "version": _VERSION,
    }
    json_files.write_json(folder / KEY_FILE, fields)
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("reader", "code"), *enumerate(codes, start=1)])
    atomic.write_text(folder / CODES_FILE, table.getvalue())


def read_answer_key(folder: Path) -> AnswerKey:
    """Read the key in this folder; DataError if it is missing or damaged."""
    path = folder / KEY_FILE
    fields = parsing.read_json(_KeyJson, path, advice="create the study again")
    if fields["version"] != _VERSION:
        raise DataError(f"{path}: written by another version of synthcxr; create the study again")
    with guarded_files.report_failure(path, "the answer key of a reader study"):
        key = AnswerKey(
            study=fields["study"],
            about=fields["about"],
            truths={file_name: _truth_from_json(truth) for file_name, truth in fields["truths"].items()},
            readers={int(number): tuple(screens) for number, screens in fields["readers"].items()},
        )
    for screens in key.readers.values():
        for screen in screens:
            if not 1 <= len(screen.images) <= 2 or not key.truths.keys() >= set(screen.images):
                raise DataError(f"{path}: a screen has images that the key does not describe; create the study again")
    return key


def read_access_codes(folder: Path) -> tuple[str, ...]:
    """Read the access codes of the readers, in the order of their numbers."""
    return tuple(row["code"] for row in csv_files.read_rows(folder / CODES_FILE, ("code",)))


def _truth_to_json(truth: ImageTruth) -> dict[str, Any]:
    return {
        "origin": truth.origin,
        "same": truth.image_id,
        "cluster": truth.cluster,
        "findings": truth.findings,
        "classifier": dict(truth.probabilities),
        "present": truth.present,
    }


def _truth_from_json(fields: _TruthJson) -> ImageTruth:
    return ImageTruth(
        origin=fields["origin"],
        image_id=fields["same"],
        cluster=fields["cluster"],
        findings=tuple(fields["findings"]),
        probabilities=fields["classifier"],
        present=tuple(fields["present"]),
    )
