"""Build the folder of a study: choose the cases, write the files that are served, and the answer key."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthcxr.data import random_streams
from synthcxr.data.images import UInt8
from synthcxr.reader_study import design as study_design
from synthcxr.reader_study.access_codes import compute_code_digest, create_access_code
from synthcxr.reader_study.answer_key import KEY_FOLDER, AnswerKey, ImageTruth, KeyScreen, write_answer_key
from synthcxr.reader_study.design import Design, PlannedScreen, StudyCases, StudyImage
from synthcxr.reader_study.public_files import (
    IMAGES_FOLDER,
    SERVED_FOLDER,
    ServedReader,
    ServedScreen,
    ServedStudy,
    encode_constant_size_png,
    write_served_study,
)
from synthcxr.storage.progress import track

_FILE_TIME_S = 946_684_800  # 2000-01-01: the modification time of all images
_CASES_STREAM, _ORDER_STREAM = 0, 1

ReadPixels = Callable[[StudyImage], UInt8]
FileKey = tuple[str, str, bool]  # origin, name, and whether it is the file of the repeat


def choose_cases(images: Sequence[StudyImage], design: Design, seed: int) -> StudyCases:
    """Draw the cases of a study: half real, or all synthetic (for teaching) if there are no films."""
    rng = random_streams.open_stream(seed, _CASES_STREAM)
    if any(image.origin == "real" for image in images):
        return study_design.choose_balanced_cases(images, design, rng)
    return study_design.choose_synthetic_cases(images, design, rng)


def write_study(
    folder: Path,
    cases: StudyCases,
    design: Design,
    *,
    seed: int,
    title: str,
    read_pixels: ReadPixels,
    get_truth: Callable[[StudyImage], ImageTruth],
    about: Mapping[str, Any],
) -> tuple[str, ...]:
    """Write a study into an empty folder and return the access codes of its readers.

    The seed determines which images are shown and in which order. File names and codes are always random.
    """
    orders = [
        study_design.order_screens(cases, design.repeats, random_streams.open_stream(seed, _ORDER_STREAM + reader))
        for reader in range(design.readers)
    ]
    file_names: dict[FileKey, str] = {}
    image_of_file: dict[str, StudyImage] = {}
    for screen in (screen for order in orders for screen in order):
        for image in screen.images:
            file_name = file_names.setdefault(_to_file_key(image, screen), f"{secrets.token_hex(16)}.png")
            image_of_file[file_name] = image
    folder.chmod(0o700)
    resolution = _write_images(folder / SERVED_FOLDER / IMAGES_FOLDER, image_of_file, read_pixels)
    codes = [create_access_code() for _ in orders]
    study_id = secrets.token_hex(16)
    readers = tuple(
        ServedReader(
            number, compute_code_digest(code), tuple(_to_served_screen(screen, file_names) for screen in order)
        )
        for number, (code, order) in enumerate(zip(codes, orders, strict=True), start=1)
    )
    only_teaches = all(image.origin == "synthetic" for image in cases.images)
    write_served_study(folder, ServedStudy(study_id, title, resolution, readers, only_teaches))
    key = AnswerKey(
        study=study_id,
        about=dict(about) | {"seed": seed},
        truths={file_name: get_truth(image) for file_name, image in sorted(image_of_file.items())},
        readers={
            number: tuple(_to_key_screen(screen, file_names) for screen in order)
            for number, order in enumerate(orders, start=1)
        },
    )
    write_answer_key(folder / KEY_FOLDER, key, codes)
    return tuple(codes)


def _to_file_key(image: StudyImage, screen: PlannedScreen) -> FileKey:
    """What determines the file: a repeated image has a second file, so that file names do not reveal repeats."""
    return image.origin, image.name, screen.role == "repeat"


def _write_images(folder: Path, image_of_file: Mapping[str, StudyImage], read_pixels: ReadPixels) -> int:
    """Write the files in the order of their random names, with the same time; returns the side of the images in px."""
    folder.mkdir(parents=True)
    side = 0
    for file_name in track(sorted(image_of_file), "images of the study", unit="images"):
        pixels = read_pixels(image_of_file[file_name])
        side = pixels.shape[0]
        (folder / file_name).write_bytes(encode_constant_size_png(np.ascontiguousarray(pixels)))
        os.utime(folder / file_name, (_FILE_TIME_S, _FILE_TIME_S))
    return side


def _to_served_screen(screen: PlannedScreen, file_names: Mapping[FileKey, str]) -> ServedScreen:
    key_screen = _to_key_screen(screen, file_names)
    return ServedScreen(key_screen.images, practice=screen.role == "practice", finding=screen.finding)


def _to_key_screen(screen: PlannedScreen, file_names: Mapping[FileKey, str]) -> KeyScreen:
    names = tuple(file_names[_to_file_key(image, screen)] for image in screen.images)
    return KeyScreen(screen.role, names, screen.finding)
