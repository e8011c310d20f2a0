"""WebDataset shards: shards/00000.tar with KEY.png and KEY.json, 1,000 images per shard, identical bytes everywhere.

The shards are not written with `tarfile.open`, so that a shard can be continued after its last complete image. Each
member is a header with constant owner, mode and time, the data, and zeros up to a multiple of 512 bytes.
"""

from __future__ import annotations

import itertools
import json
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import images
from synthcxr.data.synthetic_dataset import ImageRecord, to_metadata_row
from synthcxr.errors import DataError
from synthcxr.storage import digests, tar_files

SHARD_FOLDER = "shards"
IMAGES_PER_SHARD = 1000
_BLOCK = tarfile.BLOCKSIZE
_END_OF_ARCHIVE = bytes(2 * _BLOCK)


class TarShards:
    """The image store of tar files in `root`/shards."""

    suffix: ClassVar[str] = ".png"

    def __init__(self, root: Path) -> None:
        self.root = root
        self._shard: BinaryIO | None = None

    def file_name(self, ordinal: int) -> str:
        """The path of the shard relative to `root`, followed by the name of the member."""
        return f"{SHARD_FOLDER}/{ordinal // IMAGES_PER_SHARD:05d}.tar/{ordinal:08d}.png"

    def encode(self, pixels: NDArray[np.uint8], record: ImageRecord) -> bytes:
        """Encode an image uint8 [R, R] as PNG. `write` adds the record as a member of its own."""
        return images.encode_png(pixels)

    def write(self, ordinal: int, data: bytes, record: ImageRecord) -> None:
        """Append an image and its record. Complete a full shard and start the next one."""
        if ordinal % IMAGES_PER_SHARD == 0:
            self.close()
        shard, _, name = record.file_name.rpartition("/")
        if self._shard is None:
            path = self.root / shard
            path.parent.mkdir(parents=True, exist_ok=True)
            self._shard = path.open("ab")
        self._shard.write(_encode_member(name, data) + _encode_member(_json_name(name), _encode_row(record)))
        self._shard.flush()

    def read(self, records: Iterable[ImageRecord]) -> Iterator[bytes | None]:
        """Yield each record's PNG, or None if it or its JSON is absent, incomplete or different from the record."""
        for shard, shard_records in itertools.groupby(records, key=lambda record: record.file_name.rpartition("/")[0]):
            path = self.root / shard
            if not path.is_file():
                yield from (None for _ in shard_records)
                continue
            with path.open("rb") as file:
                for record in shard_records:
                    yield _read_image(file, record)

    def truncate(self, n_images: int) -> None:
        """Delete everything after the first `n_images`. Remove the end marker of a shard that is not full."""
        self.close()
        for path in sorted((self.root / SHARD_FOLDER).glob("*.tar")):
            first = int(path.stem) * IMAGES_PER_SHARD
            if first >= n_images:
                path.unlink()
            elif first + IMAGES_PER_SHARD >= n_images:
                self._shard = path.open("r+b")
                _truncate_shard(self._shard, n_images - first)
                if first + IMAGES_PER_SHARD == n_images:
                    self.close()

    def close(self) -> None:
        """Complete the open shard with its end-of-archive blocks."""
        if self._shard is not None:
            file, self._shard = self._shard, None
            with file:
                file.write(_END_OF_ARCHIVE)


def _encode_member(name: str, data: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % _BLOCK)


def _json_name(png_name: str) -> str:
    return png_name.removesuffix(".png") + ".json"


def _encode_row(record: ImageRecord) -> bytes:
    return json.dumps(to_metadata_row(record), sort_keys=True).encode()


def _truncate_shard(file: BinaryIO, n_images: int) -> None:
    """Truncate an open shard after its first `n_images` images, each a PNG and a JSON member, and stay at its end."""
    for _ in range(2 * n_images):
        info = tar_files.read_header(file)
        if info is None:
            raise DataError(f"{file.name}: is damaged; delete the unfinished dataset, or choose another --out")
        file.seek(info.size + -info.size % _BLOCK, 1)
    file.truncate()


def _read_image(file: BinaryIO, record: ImageRecord) -> bytes | None:
    name = record.file_name.rpartition("/")[2]
    png, row = _read_member(file, name), _read_member(file, _json_name(name))
    if png is None or row != _encode_row(record) or digests.sha256_bytes(png) != record.sha256:
        return None
    return png


def _read_member(file: BinaryIO, name: str) -> bytes | None:
    info = tar_files.read_header(file)
    if info is None:
        return None
    data = file.read(info.size + -info.size % _BLOCK)
    complete = len(data) == info.size + -info.size % _BLOCK
    return data[: info.size] if complete and info.name == name else None
