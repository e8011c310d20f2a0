"""Images of a synthetic dataset: their bytes, from a folder of files or from tar shards, and their pixels."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from math import isqrt
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import image_formats, images
from synthcxr.data.synthetic_dataset import ImageRecord, refuse_names_outside
from synthcxr.errors import DataError
from synthcxr.storage import digests, guarded_files, tar_files
from synthcxr.storage.tar_files import MemberIndex

_SHARD_SUFFIX = ".tar"
_MAX_IMAGE_BYTES = 2**28
_DICOM_MAGIC, _PIXEL_DATA_TAG = b"DICM", bytes.fromhex("e07f1000") + b"OB\0\0"


def read(dataset: Path, file_names: Iterable[str]) -> Iterator[bytes | None]:
    """Yield the bytes of each `file_name` of metadata.csv in order, None if they cannot be read.

    A name in a shard is shards/00000.tar/key.png. Consecutive names in one shard are read without opening it again.
    Raises DataError for a name that leads out of the dataset.
    """
    for container, group in itertools.groupby(file_names, key=lambda name: name.rpartition("/")[0]):
        names = list(group)
        refuse_names_outside(dataset, names)
        members = (name.rpartition("/")[2] for name in names)
        if container.endswith(_SHARD_SUFFIX):
            yield from _read_shard(dataset / container, members)
        else:
            yield from (_read_file(dataset / container / member) for member in members)


def read_all(dataset: Path, file_names: Iterable[str]) -> Iterator[bytes]:
    """Yield the bytes of each `file_name` in order; DataError for the first that cannot be read."""
    names = list(file_names)
    for name, data in zip(names, read(dataset, names), strict=True):
        if data is None:
            raise DataError(f"{dataset}: {name} is listed in metadata.csv but cannot be read; generate it again")
        yield data


def read_all_verified(dataset: Path, file_names: Sequence[str], sha256s: Sequence[str]) -> Iterator[bytes]:
    """Yield the bytes of each `file_name` in order; DataError for the first that is absent or has another sha256."""
    for name, sha256, data in zip(file_names, sha256s, read(dataset, file_names), strict=True):
        if data is None or digests.sha256_bytes(data) != sha256:
            raise DataError(
                f"{dataset}: {name} is missing or differs from its sha256 in metadata.csv; generate the dataset again"
            )
        yield data


def read_verified(dataset: Path, records: Iterable[ImageRecord]) -> Iterator[bytes | None]:
    """Yield the bytes of each record's image, None if they cannot be read or differ from the record's sha256."""
    named, verified = itertools.tee(records)
    for data, record in zip(read(dataset, (record.file_name for record in named)), verified, strict=True):
        yield data if data is not None and digests.sha256_bytes(data) == record.sha256 else None


class ImageReader:
    """Reads single images in any order, and remembers where each image lies in its shard."""

    def __init__(self, dataset: Path) -> None:
        self.dataset = dataset
        self._shards: dict[str, MemberIndex] = {}

    def read(self, file_name: str) -> bytes:
        """Read the bytes of a `file_name` of metadata.csv; DataError if they cannot be read."""
        refuse_names_outside(self.dataset, [file_name])
        container, _, member = file_name.rpartition("/")
        if container.endswith(_SHARD_SUFFIX):
            data = self._read_from_shard(container, member)
        else:
            data = _read_file(self.dataset / file_name)
        if data is None:
            raise DataError(f"{self.dataset}: {file_name} is listed in metadata.csv but cannot be read")
        return data

    def _read_from_shard(self, shard: str, member: str) -> bytes | None:
        path = self.dataset / shard
        if not guarded_files.is_file(path):
            return None
        with path.open("rb") as file:
            if shard not in self._shards:
                self._shards[shard] = tar_files.index_members(file, path)
            return _read_member(file, self._shards[shard], member)


def decode_pixels(data: bytes, *, name: str) -> NDArray[np.uint8]:
    """Decode the uint8 [R, R] pixels of an image that `generate` wrote; an error begins with `name`.

    The format of an installed package is recognised by the end of `name`, PNG and DICOM by their content.
    """
    if (decode := image_formats.find_decoder(name)) is not None:
        with guarded_files.report_failure(name, "an image"):
            return decode(data)
    return _decode_dicom(data, name) if data[128:132] == _DICOM_MAGIC else images.decode_png(data, name=name)


def _decode_dicom(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode a DICOM file of synthcxr without a library: its uncompressed pixels are its last element."""
    start = data.find(_PIXEL_DATA_TAG) + len(_PIXEL_DATA_TAG) + 4
    side = isqrt(max(len(data) - start, 0))
    if start < 132 or side * side != int.from_bytes(data[start - 4 : start], "little") or start + side**2 != len(data):
        raise DataError(f"{name}: not a DICOM file that synthcxr wrote")
    return np.frombuffer(data, np.uint8, offset=start).reshape(side, side)


def _read_file(path: Path) -> bytes | None:
    try:
        return guarded_files.read_bytes(path, "an image", max_bytes=_MAX_IMAGE_BYTES)
    except DataError:
        return None


def _read_shard(path: Path, members: Iterable[str]) -> Iterator[bytes | None]:
    if not guarded_files.is_file(path):
        yield from (None for _ in members)
        return
    with path.open("rb") as file:
        index = tar_files.index_members(file, path)
        for member in members:
            yield _read_member(file, index, member)


def _read_member(file: BinaryIO, index: MemberIndex, member: str) -> bytes | None:
    """Read a member of a tar file; None if the index lacks it or the file ends before the member does."""
    offset, size = index.get(member, (0, -1))
    file.seek(offset)
    data = file.read(size) if 0 <= size <= _MAX_IMAGE_BYTES else b""
    return data if len(data) == size else None
