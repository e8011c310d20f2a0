"""The files of a study that are served: images under random names, and the order of screens of each reader.

`served/study.json` and `served/images/` are all that `serve` opens of a study. They contain nothing of the answer key.
"""

from __future__ import annotations

import dataclasses
import re
import struct
import zlib
from pathlib import Path
from typing import TypedDict

import numpy as np

from synthcxr.config import parsing
from synthcxr.config.bounds import Side
from synthcxr.data.images import UInt8
from synthcxr.errors import DataError
from synthcxr.storage import json_files

SERVED_FOLDER, STUDY_FILE, IMAGES_FOLDER = "served", "study.json", "images"
_VERSION = 1
_FILE_NAME = re.compile(r"[0-9a-f]{32}\.png")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclasses.dataclass(frozen=True)
class ServedScreen:
    """One screen: the files of its one or two images, and whether it is practice. Field names are JSON keys."""

    images: tuple[str, ...]
    practice: bool
    finding: str = ""

    @property
    def is_pair(self) -> bool:
        """Whether the screen shows two images side by side."""
        return len(self.images) > 1


@dataclasses.dataclass(frozen=True)
class ServedReader:
    """A reader's number, counted from 1, the digest of the access code, and the screens in order."""

    number: int
    code: str
    cases: tuple[ServedScreen, ...]


@dataclasses.dataclass(frozen=True)
class ServedStudy:
    """A study as its readers see it. `study` is a random identifier that the answer key contains too.

    A study with `only_teaches` contains no real film.
    """

    study: str
    title: str
    resolution: int
    readers: tuple[ServedReader, ...]
    only_teaches: bool = False


class _StudyJson(TypedDict):
    version: int
    study: str
    title: str
    resolution: Side
    readers: list[ServedReader]
    only_teaches: bool


def write_served_study(folder: Path, study: ServedStudy) -> None:
    """Write served/study.json."""
    json_files.write_json(folder / SERVED_FOLDER / STUDY_FILE, {"version": _VERSION} | dataclasses.asdict(study))


def read_served_study(folder: Path) -> ServedStudy:
    """Read the study in this folder.

    Raises DataError if the folder contains no study, or if an image that it lists is missing.
    """
    path = folder / SERVED_FOLDER / STUDY_FILE
    if not path.is_file():
        raise DataError(
            f"{folder}: contains no reader study; create one with `synthcxr reader-study create --out {folder}`"
        )
    fields = parsing.read_json(_StudyJson, path, advice="create the study again")
    if fields["version"] != _VERSION:
        raise DataError(f"{path}: written by another version of synthcxr; create the study again")
    study = ServedStudy(
        study=fields["study"],
        title=fields["title"],
        resolution=fields["resolution"],
        readers=tuple(fields["readers"]),
        only_teaches=fields["only_teaches"],
    )
    for name in sorted({name for reader in study.readers for screen in reader.cases for name in screen.images}):
        resolve_study_image(folder, name)
    return study


def resolve_study_image(folder: Path, name: str) -> Path:
    """The path of an image that study.json lists; DataError as for `resolve_image`."""
    return resolve_image(folder / SERVED_FOLDER / IMAGES_FOLDER, name)


def resolve_image(folder: Path, name: str) -> Path:
    """The path of an image file in a folder.

    Raises DataError unless the name is one of our random names and the file is regular and not a link, so that no path
    leads out of the study.
    """
    path = folder / name
    if not _FILE_NAME.fullmatch(name) or path.is_symlink() or not path.is_file():
        raise DataError(f"{folder}: {name!r} is listed but is not an image of this study; create the study again")
    return path


def encode_constant_size_png(pixels: UInt8) -> bytes:
    """Encode a uint8 [H, W] image as a grey PNG whose length and chunks depend only on its size.

    The file has IHDR, one IDAT of stored deflate blocks without filters, and IEND; no metadata. Compressed files would
    differ in length between real and synthetic images. Source: PNG, ISO/IEC 15948; RFC 1951, section 3.2.4.
    """
    height, width = pixels.shape
    rows = np.zeros((height, width + 1), dtype=np.uint8)
    rows[:, 1:] = pixels
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 0)), (b"IEND", b"")
    return _PNG_SIGNATURE + b"".join(_encode_chunk(kind, data) for kind, data in chunks)


def _encode_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
