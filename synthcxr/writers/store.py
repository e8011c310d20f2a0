"""Where the images of a dataset go: what a folder of PNGs and a row of tar shards both answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, Protocol

from synthcxr.records import Record

Format = Literal["png", "webdataset"]
PER_FOLDER = 1000
LATENTS = "latents.npy"


class Store(Protocol):
    """Images under a root folder by ordinal, their place in candidate order; written strictly in that order."""

    def file_name(self, ordinal: int) -> str:
        """The `file_name` of an image in metadata.csv."""

    def write(self, ordinal: int, png: bytes, record: Record) -> None:
        """Add the next image."""

    def read(self, records: Iterable[Record]) -> Iterator[bytes | None]:
        """The PNG of each record in order; None where it is absent, cut short or not the bytes of its sha256."""

    def cut(self, n: int) -> None:
        """Drop everything after the first `n` images."""

    def close(self) -> None:
        """Finish what is open."""
