"""The image store of each format, behind one interface: a folder of PNG or DICOM files, or WebDataset shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.synthetic_dataset import ImageRecord
from synthcxr.writers.formats.image_folder import DICOM_FOLDER, PNG_FOLDER, PngFolder
from synthcxr.writers.formats.webdataset import SHARD_FOLDER, TarShards

ImageFormat = Literal["png", "dicom", "webdataset"]
IMAGE_FOLDERS: Mapping[ImageFormat, str] = {"png": PNG_FOLDER, "dicom": DICOM_FOLDER, "webdataset": SHARD_FOLDER}


class ImageStore(Protocol):
    """The images of a dataset under a root folder.

    The ordinal of an image is its position in the dataset. Images are written strictly in that order.
    """

    suffix: ClassVar[str]
    """The end of an image's file name. Stores with the same suffix hold the same bytes."""

    def file_name(self, ordinal: int) -> str:
        """The `file_name` of an image in metadata.csv."""

    def encode(self, pixels: NDArray[np.uint8], record: ImageRecord) -> bytes:
        """Encode an image uint8 [R, R]. Its record has no `file_name` and no `sha256` yet."""

    def write(self, ordinal: int, data: bytes, record: ImageRecord) -> None:
        """Add the next image."""

    def read(self, records: Iterable[ImageRecord]) -> Iterator[bytes | None]:
        """Yield the content of each record's file, or None if it is absent, incomplete or has another sha256."""

    def truncate(self, n_images: int) -> None:
        """Delete everything after the first `n_images` images."""

    def close(self) -> None:
        """Complete and close open files."""


def open_store(image_format: ImageFormat, root: Path, *, generator: str) -> ImageStore:
    """Open the store of a format under `root`. `generator` is the digest of the generator's file."""
    if image_format == "dicom":
        from synthcxr.writers.formats.dicom import DicomFolder  # needs pydicom, an optional dependency

        return DicomFolder(root, generator)
    return PngFolder(root) if image_format == "png" else TarShards(root)


def library_versions(image_format: ImageFormat) -> dict[str, str]:
    """The versions of the libraries that a file's bytes depend on, in addition to those of every format."""
    if image_format != "dicom":
        return {}
    from synthcxr.writers.formats import dicom

    return {"pydicom": dicom.VERSION}
