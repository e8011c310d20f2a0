"""The key of a study: which image is what, whose code is whose. `serve` never opens it but to teach.

It lies in a folder of its own, so that it can be moved away from the machine that serves.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from synthcxr.errors import DataError
from synthcxr.reader_study.design import Origin, Role
from synthcxr.storage import atomic, json_files

FOLDER, KEY, CODES = "key", "key.json", "codes.csv"
VERSION = 1


@dataclasses.dataclass(frozen=True)
class Truth:
    """What an image is. `same` is the image itself, whatever file it is shown from; `cluster` its patient's.

    `classifier` maps findings to the classifier's probabilities, empty where it has not seen the image; `present`
    are those that reached their thresholds. `findings` are the labels of the film, or again the classifier's.
    """

    origin: Origin
    same: str
    cluster: str
    findings: tuple[str, ...]
    classifier: Mapping[str, float]
    present: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Place:
    """What a screen of one reader is for, by its files in the order of the screen."""

    role: Role
    images: tuple[str, ...]
    finding: str = ""


@dataclasses.dataclass(frozen=True)
class Key:
    """All of it. `about` says from what the study was made."""

    study: str
    about: Mapping[str, Any]
    truths: Mapping[str, Truth]
    readers: Mapping[int, tuple[Place, ...]]


def write(folder: Path, key: Key, codes: Sequence[str]) -> None:
    """Write key.json and codes.csv into a folder that only its owner reads."""
    folder.mkdir(mode=0o700)
    fields = dataclasses.asdict(key) | {"version": VERSION}
    fields["readers"] = {str(number): fields["readers"][number] for number in key.readers}
    json_files.write_json(folder / KEY, fields)
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(
        [("reader", "code"), *((at, code) for at, code in enumerate(codes, start=1))]
    )
    atomic.write_text(folder / CODES, table.getvalue())


def read(folder: Path) -> Key:
    """The key in this folder; DataError where there is none or it is broken."""
    path = folder / KEY
    fields = json_files.read_json(path)
    try:
        if fields["version"] != VERSION:
            raise DataError(f"{path}: of another version of synthcxr")
        return Key(
            study=str(fields["study"]),
            about=dict(fields["about"]),
            truths={name: _truth(held) for name, held in fields["truths"].items()},
            readers={int(number): tuple(_place(p) for p in held) for number, held in fields["readers"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: is no key of a reader study ({error!r})") from error


def _truth(fields: dict[str, Any]) -> Truth:
    return Truth(
        origin=cast("Origin", fields["origin"]),
        same=fields["same"],
        cluster=fields["cluster"],
        findings=tuple(fields["findings"]),
        classifier={name: float(value) for name, value in fields["classifier"].items()},
        present=tuple(fields["present"]),
    )


def _place(fields: dict[str, Any]) -> Place:
    return Place(cast("Role", fields["role"]), tuple(fields["images"]), fields["finding"])
