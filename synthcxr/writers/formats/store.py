"""Where the images of a dataset go: what a folder of PNGs, one of DICOM files and a row of tar shards all answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.records import Record

Format = Literal["png", "dicom", "webdataset"]
PER_FOLDER = 1000
LATENTS = "latents.npy"
DICOM = "dicom"
"""Folder of DICOM files, known without the library that writes them."""


class Store(Protocol):
    """Images under a root folder by ordinal, their place in candidate order; written strictly in that order."""

    suffix: ClassVar[str]
    """How an image's file name ends; stores that share it hold the same bytes."""

    def file_name(self, ordinal: int) -> str:
        """The `file_name` of an image in metadata.csv."""

    def encode(self, pixels: NDArray[np.uint8], record: Record) -> bytes:
        """The file of an image uint8 [R, R]; its record lacks `file_name` and `sha256` still."""

    def write(self, ordinal: int, data: bytes, record: Record) -> None:
        """Add the next image."""

    def read(self, records: Iterable[Record]) -> Iterator[bytes | None]:
        """The file of each record in order; None where it is absent, cut short or not the bytes of its sha256."""

    def cut(self, n: int) -> None:
        """Drop everything after the first `n` images."""

    def close(self) -> None:
        """Finish what is open."""
