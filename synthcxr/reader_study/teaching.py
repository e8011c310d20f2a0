"""What teaching shows after an answer: the classifier's probabilities, and the nearest others with the same finding.

It lies with the key, since it says which images are synthetic: `serve` opens it in teach mode alone.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.data.images import UInt8
from synthcxr.errors import DataError
from synthcxr.reader_study import constant_size_png
from synthcxr.reader_study.public_files import Served, Shown, plain_file
from synthcxr.storage import json_files

ABOUT, IMAGES = "lessons.json", "lessons"
N_ALIKE = 4


@dataclasses.dataclass(frozen=True)
class Lesson:
    """Of one image: the classifier's probabilities and findings, and the files of `alike`, which share `finding`."""

    classifier: Mapping[str, float]
    present: tuple[str, ...]
    finding: str
    alike: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Image:
    """A synthetic image of the dataset: its name, the classifier's opinion, and a point [d] of length 1."""

    name: str
    present: tuple[str, ...]
    classifier: Mapping[str, float]
    point: NDArray[np.float32]


def only(shown: Served, taught: Mapping[str, Lesson]) -> Served:
    """The screens of a study that show one image with a lesson, each image once, none of them practice."""
    readers = tuple(
        dataclasses.replace(
            reader,
            cases=tuple(
                Shown(case.images, practice=False)
                for case in reader.cases
                if not case.pair and case.images[0] in taught
            ),
        )
        for reader in shown.readers
    )
    return dataclasses.replace(shown, readers=readers)


def make(taught: Mapping[str, Image], dataset: Sequence[Image]) -> Iterator[tuple[str, Image, str, list[Image]]]:
    """For each file of `taught`: its image, the finding that counts, and its nearest neighbours with that finding.

    The finding is the most probable of those present, or No Finding.
    """
    points = np.stack([image.point for image in dataset])
    for name, image in taught.items():
        finding = max(image.present, key=lambda held: image.classifier.get(held, 0.0))
        order = np.argsort(-(points @ image.point), kind="stable")
        others = (dataset[at] for at in order)
        alike = [other for other in others if finding in other.present and other.name != image.name]
        yield name, image, finding, alike[:N_ALIKE]


def write(key: Path, taught: Mapping[str, Image], dataset: Sequence[Image], read: Callable[[str], UInt8]) -> None:
    """Write lessons.json and the neighbours' images into the folder of the key."""
    (key / IMAGES).mkdir()
    files: dict[str, str] = {}
    lessons = {}
    for name, image, finding, alike in make(taught, dataset):
        for other in alike:
            if other.name not in files:
                files[other.name] = f"{secrets.token_hex(16)}.png"
                (key / IMAGES / files[other.name]).write_bytes(constant_size_png.encode(read(other.name)))
        shown = tuple(files[other.name] for other in alike)
        lessons[name] = dataclasses.asdict(Lesson(dict(image.classifier), image.present, finding, shown))
    json_files.write_json(key / ABOUT, lessons)


def read(key: Path) -> dict[str, Lesson]:
    """The lessons by the file of the image they are about; DataError where there are none."""
    held = json_files.read_json(key / ABOUT)
    try:
        lessons = {name: _lesson(fields) for name, fields in held.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{key / ABOUT}: holds no lessons ({error!r})") from error
    for lesson in lessons.values():
        for name in lesson.alike:
            plain_file(key / IMAGES, name)
    return lessons


def _lesson(fields: Mapping[str, Any]) -> Lesson:
    finding = str(fields["finding"])
    if finding not in (*FINDINGS, NO_FINDING):
        raise ValueError(finding)
    classifier = {name: float(fields["classifier"][name]) for name in FINDINGS}
    return Lesson(classifier, tuple(fields["present"]), finding, tuple(map(str, fields["alike"])))
