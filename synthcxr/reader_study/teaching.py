"""Lessons, shown after an answer in teach mode: the classifier's probabilities and the most similar synthetic images.

Lessons reveal which images are synthetic. They are therefore in the folder of the answer key, which `serve` opens only
in teach mode.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from synthcxr.config import parsing
from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.data.images import UInt8
from synthcxr.reader_study.public_files import ServedScreen, ServedStudy, encode_constant_size_png, resolve_image
from synthcxr.storage import guarded_files, json_files

LESSONS_FILE, LESSON_IMAGES_FOLDER = "lessons.json", "lessons"
N_SIMILAR = 4


class _LessonJson(TypedDict):
    classifier: dict[str, float]
    present: list[str]
    finding: str
    alike: list[str]


@dataclasses.dataclass(frozen=True)
class Lesson:
    """The classifier's probabilities and findings of an image, and the files of similar images that share `finding`."""

    probabilities: Mapping[str, float]
    present: tuple[str, ...]
    finding: str
    similar: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The entry of lessons.json."""
        return {
            "classifier": dict(self.probabilities),
            "present": self.present,
            "finding": self.finding,
            "alike": self.similar,
        }


@dataclasses.dataclass(frozen=True)
class LessonImage:
    """A synthetic image of the dataset: its name, the classifier's findings and probabilities, a unit vector [d]."""

    name: str
    present: tuple[str, ...]
    probabilities: Mapping[str, float]
    embedding: NDArray[np.float32]


def select_lesson_screens(study: ServedStudy, lessons: Mapping[str, Lesson]) -> ServedStudy:
    """The screens of a study that show a single image with a lesson. None of them is practice."""
    readers = tuple(
        dataclasses.replace(
            reader,
            cases=tuple(
                ServedScreen(screen.images, practice=False)
                for screen in reader.cases
                if not screen.is_pair and screen.images[0] in lessons
            ),
        )
        for reader in study.readers
    )
    return dataclasses.replace(study, readers=readers)


def find_similar_images(
    taught: Mapping[str, LessonImage], dataset: Sequence[LessonImage]
) -> Iterator[tuple[str, LessonImage, str, list[LessonImage]]]:
    """For each file in `taught`: the file, its image, the finding of the lesson, and the nearest images with it.

    The finding is the most probable of those present, or No Finding.
    """
    embeddings = np.stack([image.embedding for image in dataset])
    for file_name, image in taught.items():
        finding = max(image.present, key=lambda name: image.probabilities.get(name, 0.0))
        order = np.argsort(-(embeddings @ image.embedding), kind="stable")
        by_similarity = (dataset[index] for index in order)
        similar = [other for other in by_similarity if finding in other.present and other.name != image.name]
        yield file_name, image, finding, similar[:N_SIMILAR]


def write_lessons(
    key_folder: Path,
    taught: Mapping[str, LessonImage],
    dataset: Sequence[LessonImage],
    read_pixels: Callable[[str], UInt8],
) -> None:
    """Write lessons.json and the similar images into the folder of the answer key."""
    images_folder = key_folder / LESSON_IMAGES_FOLDER
    images_folder.mkdir()
    file_names: dict[str, str] = {}
    lessons = {}
    for taught_file, image, finding, similar in find_similar_images(taught, dataset):
        for other in similar:
            if other.name not in file_names:
                file_names[other.name] = f"{secrets.token_hex(16)}.png"
                pixels = read_pixels(other.name)
                (images_folder / file_names[other.name]).write_bytes(encode_constant_size_png(pixels))
        similar_files = tuple(file_names[other.name] for other in similar)
        lessons[taught_file] = Lesson(image.probabilities, image.present, finding, similar_files).to_json()
    json_files.write_json(key_folder / LESSONS_FILE, lessons)


def read_lessons(key_folder: Path) -> dict[str, Lesson]:
    """Read the lessons by image file; DataError if they are missing or damaged."""
    path = key_folder / LESSONS_FILE
    fields = json_files.read_json(path)
    with guarded_files.report_failure(path, "lessons"):
        lessons = {
            file_name: _lesson_from_json(parsing.build_as(_LessonJson, lesson, f"{path}: {file_name}"))
            for file_name, lesson in fields.items()
        }
    for lesson in lessons.values():
        for file_name in lesson.similar:
            resolve_image(key_folder / LESSON_IMAGES_FOLDER, file_name)
    return lessons


def _lesson_from_json(fields: _LessonJson) -> Lesson:
    finding = fields["finding"]
    if finding not in (*FINDINGS, NO_FINDING):
        raise ValueError(finding)
    probabilities = {name: fields["classifier"][name] for name in FINDINGS}
    return Lesson(probabilities, tuple(fields["present"]), finding, tuple(fields["alike"]))
