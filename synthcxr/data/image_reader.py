"""The bytes of a synthetic dataset's images, from a folder of files or from tar shards, and the pixels in them."""

from __future__ import annotations

import contextlib
import itertools
import tarfile
from collections.abc import Iterable, Iterator
from math import isqrt
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import images
from synthcxr.data.records import Record
from synthcxr.errors import DataError
from synthcxr.storage import digests

_SHARD = ".tar"
_DICOM, _PIXEL_DATA = b"DICM", bytes.fromhex("e07f1000") + b"OB\0\0"


def read(dataset: Path, file_names: Iterable[str]) -> Iterator[bytes | None]:
    """The bytes of each `file_name` of metadata.csv in order, None where they cannot be read.

    In shards a name is shards/00000.tar/key.png; a shard is opened once for all names in a row that lie in it.
    """
    for place, names in itertools.groupby(file_names, key=lambda name: name.rpartition("/")[0]):
        members = (name.rpartition("/")[2] for name in names)
        if place.endswith(_SHARD):
            yield from _read_shard(dataset / place, members)
        else:
            yield from (_read_file(dataset / place / member) for member in members)


class Images:
    """The bytes of single images in any order; where each lies in its shard is looked up once and kept."""

    def __init__(self, dataset: Path) -> None:
        self.dataset = dataset
        self._shards: dict[str, dict[str, tuple[int, int]]] = {}

    def read(self, file_name: str) -> bytes:
        """The bytes of a `file_name` of metadata.csv; DataError where they cannot be read."""
        place, _, member = file_name.rpartition("/")
        data = self._of_shard(place, member) if place.endswith(_SHARD) else _read_file(self.dataset / file_name)
        if data is None:
            raise DataError(f"{self.dataset}: {file_name} is listed but cannot be read")
        return data

    def _of_shard(self, place: str, member: str) -> bytes | None:
        try:
            with (self.dataset / place).open("rb") as file:
                if place not in self._shards:
                    self._shards[place] = _places(file)
                start, size = self._shards[place].get(member, (0, -1))
                file.seek(start)
                data = file.read(max(size, 0))
        except OSError:
            return None
        return data if len(data) == size else None


def read_all(dataset: Path, file_names: Iterable[str]) -> Iterator[bytes]:
    """The same, with a DataError that names the first image that cannot be read."""
    names = list(file_names)
    for name, data in zip(names, read(dataset, names), strict=True):
        if data is None:
            raise DataError(f"{dataset}: {name} is listed but cannot be read")
        yield data


def read_whole(dataset: Path, held: Iterable[Record]) -> Iterator[bytes | None]:
    """The bytes of each record's image, None where they are absent or not those of its sha256."""
    names_from, records_again = itertools.tee(held)
    for data, record in zip(read(dataset, (record.file_name for record in names_from)), records_again, strict=True):
        yield data if data is not None and digests.sha256_bytes(data) == record.sha256 else None


def pixels(data: bytes) -> NDArray[np.uint8]:
    """The uint8 [R, R] pixels of an image, a PNG or a DICOM file, as `generate` writes it."""
    return _of_dicom(data) if data[128:132] == _DICOM else images.decode_png(data)


def _of_dicom(data: bytes) -> NDArray[np.uint8]:
    """Of our own files, whose uncompressed pixels come last; reading them takes no library."""
    start = data.find(_PIXEL_DATA) + len(_PIXEL_DATA) + 4
    side = isqrt(max(len(data) - start, 0))
    if start < 132 or side * side != int.from_bytes(data[start - 4 : start], "little") or start + side**2 != len(data):
        raise DataError("not a DICOM file that synthcxr wrote")
    return np.frombuffer(data, np.uint8, offset=start).reshape(side, side)


def _read_file(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _read_shard(path: Path, members: Iterable[str]) -> Iterator[bytes | None]:
    if not path.is_file():
        yield from (None for _ in members)
        return
    with path.open("rb") as file:
        places = _places(file)
        for member in members:
            start, size = places.get(member, (0, -1))
            file.seek(start)
            data = file.read(max(size, 0))
            yield data if len(data) == size else None


def _places(file: BinaryIO) -> dict[str, tuple[int, int]]:
    """Where each member of a tar begins and how long it is, as far as its headers can be read."""
    places = {}
    with contextlib.suppress(tarfile.TarError), tarfile.open(fileobj=file) as tar:
        for info in tar:
            places[info.name] = (info.offset_data, info.size)
    return places
