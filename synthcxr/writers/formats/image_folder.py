"""Folders of image files: FOLDER/00000/00000000.SUFFIX, 1,000 files per subfolder. PNGs are in images/."""

from __future__ import annotations

import abc
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import image_reader, images
from synthcxr.data.image_formats import Decode, ImageFormat
from synthcxr.data.synthetic_dataset import ImageRecord

PNG_FOLDER = "images"
DICOM_FOLDER = "dicom"
IMAGES_PER_FOLDER = 1000


class ImageFolder(abc.ABC):
    """Base class of image stores with one file per image. A subclass sets `folder` and `suffix` and adds `encode`."""

    folder: ClassVar[str]
    suffix: ClassVar[str]

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def declare_format(
        cls, name: str, summary: str, *, media_type: str, bytes_per_pixel: float, decode: Decode | None = None
    ) -> ImageFormat:
        """Declare the format whose store this class is; the arguments are those of `ImageFormat`."""
        return ImageFormat(
            name=name,
            summary=summary,
            folder=cls.folder,
            pattern=f"*/*{cls.suffix}",
            media_type=media_type,
            suffix=cls.suffix,
            bytes_per_pixel=bytes_per_pixel,
            open=lambda root, _generator: cls(root),
            decode=decode,
        )

    def file_name(self, ordinal: int) -> str:
        """The path of an image relative to `root`."""
        return f"{self.folder}/{ordinal // IMAGES_PER_FOLDER:05d}/{ordinal:08d}{self.suffix}"

    @abc.abstractmethod
    def encode(self, pixels: NDArray[np.uint8], record: ImageRecord) -> bytes:
        """Encode an image uint8 [R, R]. Its record has no `file_name` and no `sha256` yet."""

    def write(self, ordinal: int, data: bytes, record: ImageRecord) -> None:
        """Write one file. Overwrite an incomplete file that an interrupted run left."""
        path = self.root / record.file_name
        if ordinal % IMAGES_PER_FOLDER == 0 or not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def read(self, records: Iterable[ImageRecord]) -> Iterator[bytes | None]:
        """Yield the content of each record's file, or None if its sha256 differs from the record's."""
        return image_reader.read_verified(self.root, records)

    def truncate(self, n_images: int) -> None:
        """Delete the files of all images after the first `n_images`."""
        for folder in sorted((self.root / self.folder).glob("*")):
            first = int(folder.name) * IMAGES_PER_FOLDER
            if first >= n_images:
                shutil.rmtree(folder)
            elif first + IMAGES_PER_FOLDER > n_images:
                for path in folder.iterdir():
                    if int(path.stem) >= n_images:
                        path.unlink()

    def close(self) -> None:  # noqa: B027  a subclass need not have it
        """Do nothing: no file stays open."""


class PngFolder(ImageFolder):
    """The image store of PNG files in `root`/images."""

    folder, suffix = PNG_FOLDER, ".png"

    def encode(self, pixels: NDArray[np.uint8], record: ImageRecord) -> bytes:
        """Encode an image uint8 [R, R] as PNG. The record has no influence."""
        return images.encode_png(pixels)
