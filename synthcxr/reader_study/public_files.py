"""What readers are served: images under random names, in an order of their own for each, and nothing of the key.

`served/study.json` and `served/images/` are all that `serve` opens of a study.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from synthcxr.errors import DataError
from synthcxr.storage import json_files

FOLDER, ABOUT, IMAGES = "served", "study.json", "images"
VERSION = 1
_NAME = re.compile(r"[0-9a-f]{32}\.png")


@dataclasses.dataclass(frozen=True)
class Shown:
    """One screen: the files of its one or two images, and whether it counts."""

    images: tuple[str, ...]
    practice: bool
    finding: str = ""

    @property
    def pair(self) -> bool:
        """Two images side by side."""
        return len(self.images) > 1


@dataclasses.dataclass(frozen=True)
class Reader:
    """A reader's number from 1, the digest of the code, and the screens in order."""

    number: int
    code: str
    cases: tuple[Shown, ...]


@dataclasses.dataclass(frozen=True)
class Served:
    """A study as its readers see it. `study` is a random name that the key carries too.

    One that `only_teaches` holds no real film.
    """

    study: str
    title: str
    resolution: int
    readers: tuple[Reader, ...]
    only_teaches: bool = False


def write(study: Path, served: Served) -> None:
    """Write served/study.json."""
    json_files.write_json(study / FOLDER / ABOUT, {"version": VERSION} | dataclasses.asdict(served))


def read(study: Path) -> Served:
    """The study in this folder; DataError where it is none, or names an image that is not there."""
    path = study / FOLDER / ABOUT
    if not path.is_file():
        raise DataError(f"{study}: holds no reader study; make one by `synthcxr reader-study create --out {study}`")
    about = json_files.read_json(path)
    try:
        if about["version"] != VERSION:
            raise DataError(f"{path}: of another version of synthcxr")
        readers = tuple(_reader(fields) for fields in about["readers"])
        served = Served(
            str(about["study"]), str(about["title"]), int(about["resolution"]), readers, bool(about["only_teaches"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: describes no reader study ({error!r})") from error
    for name in sorted({name for reader in served.readers for case in reader.cases for name in case.images}):
        image(study, name)
    return served


def image(study: Path, name: str) -> Path:
    """The file of an image that study.json names; DataError for a name that is not of our making, or no plain file."""
    return plain_file(study / FOLDER / IMAGES, name)


def plain_file(folder: Path, name: str) -> Path:
    """A file of ours in a folder: a random name, no link, so that no path leads out of the study."""
    path = folder / name
    if not _NAME.fullmatch(name) or path.is_symlink() or not path.is_file():
        raise DataError(f"{folder}: {name!r} is listed but is no image of this study; make the study again")
    return path


def _reader(fields: dict[str, Any]) -> Reader:
    cases = (Shown(tuple(map(str, c["images"])), bool(c["practice"]), str(c["finding"])) for c in fields["cases"])
    return Reader(int(fields["number"]), str(fields["code"]), tuple(cases))
