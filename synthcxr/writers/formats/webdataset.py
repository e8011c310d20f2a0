"""WebDataset shards: shards/00000.tar with key.png and key.json, 1,000 images each, the same bytes everywhere.

Written block by block rather than by tarfile's writer, so that a shard can be continued after the last whole image:
a header whose owner, mode and time are constants, the data, zeros up to 512 bytes.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import images, records
from synthcxr.data.records import Record
from synthcxr.storage import digests
from synthcxr.writers.formats.store import PER_FOLDER

FOLDER = "shards"
_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)


class Shards:
    """The Store of tar files under `root`/shards."""

    suffix: ClassVar[str] = ".png"

    def __init__(self, root: Path) -> None:
        self.root = root
        self._open: BinaryIO | None = None

    def file_name(self, ordinal: int) -> str:
        """The shard's path, then the member's name in it."""
        return f"{FOLDER}/{ordinal // PER_FOLDER:05d}.tar/{ordinal:08d}.png"

    def encode(self, pixels: NDArray[np.uint8], record: Record) -> bytes:
        """The PNG of an image; its record goes beside it."""
        return images.encode_png(pixels)

    def write(self, ordinal: int, data: bytes, record: Record) -> None:
        """Append the image and its record; a full shard is ended and the next one begun."""
        if ordinal % PER_FOLDER == 0:
            self.close()
        shard, _, name = record.file_name.rpartition("/")
        if self._open is None:
            path = self.root / shard
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open = path.open("ab")
        self._open.write(_member(name, data) + _member(_row_name(name), _row(record)))
        self._open.flush()

    def read(self, held: Iterable[Record]) -> Iterator[bytes | None]:
        """The PNG of each record, None where it or its row is absent, cut short or of another sha256."""
        for shard, of_shard in _by_shard(held):
            path = self.root / shard
            if not path.is_file():
                yield from (None for _ in of_shard)
                continue
            with path.open("rb") as file:
                for record in of_shard:
                    yield _read_pair(file, record)

    def cut(self, n: int) -> None:
        """Truncate after the first `n` images; a shard that is to go on loses its end marker."""
        self.close()
        for path in sorted((self.root / FOLDER).glob("*.tar")):
            first = int(path.stem) * PER_FOLDER
            if first >= n:
                path.unlink()
            elif first + PER_FOLDER >= n:
                self._open = path.open("r+b")
                _truncate(self._open, n - first)
                if first + PER_FOLDER == n:
                    self.close()

    def close(self) -> None:
        """End the open shard with its end-of-archive blocks."""
        if self._open is not None:
            file, self._open = self._open, None
            with file:
                file.write(_END)


def _member(name: str, data: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % _BLOCK)


def _row_name(name: str) -> str:
    return name.removesuffix(".png") + ".json"


def _row(record: Record) -> bytes:
    return json.dumps(records.to_row(record), sort_keys=True).encode()


def _truncate(file: BinaryIO, n_images: int) -> None:
    """Cut an opened shard after its first `n_images` pairs and stand at its end."""
    for _ in range(2 * n_images):
        info = tarfile.TarInfo.frombuf(file.read(_BLOCK), "ascii", "strict")
        file.seek(info.size + -info.size % _BLOCK, 1)
    file.truncate()


def _by_shard(held: Iterable[Record]) -> Iterator[tuple[str, list[Record]]]:
    shard, of_shard = "", list[Record]()
    for record in held:
        name = record.file_name.rpartition("/")[0]
        if name != shard and of_shard:
            yield shard, of_shard
            of_shard = []
        shard = name
        of_shard.append(record)
    if of_shard:
        yield shard, of_shard


def _read_pair(file: BinaryIO, record: Record) -> bytes | None:
    name = record.file_name.rpartition("/")[2]
    png, row = _read_member(file, name), _read_member(file, _row_name(name))
    if png is None or row != _row(record) or digests.sha256_bytes(png) != record.sha256:
        return None
    return png


def _read_member(file: BinaryIO, name: str) -> bytes | None:
    try:
        info = tarfile.TarInfo.frombuf(file.read(_BLOCK), "ascii", "strict")
    except tarfile.HeaderError:
        return None
    data = file.read(info.size + -info.size % _BLOCK)
    whole = len(data) == info.size + -info.size % _BLOCK
    return data[: info.size] if whole and info.name == name else None
