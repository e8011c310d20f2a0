"""A folder of PNGs: images/00000/00000000.png, 1,000 a folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from synthcxr import image_bytes
from synthcxr.records import Record
from synthcxr.writers.store import PER_FOLDER

FOLDER = "images"


class PngFolder:
    """The Store of single files under `root`/images."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def file_name(self, ordinal: int) -> str:
        """images/ and the image's ordinal, in its folder of a thousand."""
        return f"{FOLDER}/{ordinal // PER_FOLDER:05d}/{ordinal:08d}.png"

    def write(self, ordinal: int, png: bytes, record: Record) -> None:
        """Write one file; an unfinished one of a stopped run is overwritten."""
        path = self.root / record.file_name
        if ordinal % PER_FOLDER == 0 or not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png)

    def read(self, held: Iterable[Record]) -> Iterator[bytes | None]:
        """The bytes of each record's file, None where they are not those of its sha256."""
        return image_bytes.read_whole(self.root, held)

    def cut(self, n: int) -> None:
        """Remove the files of the images after the first `n`."""
        for folder in sorted((self.root / FOLDER).glob("*")):
            first = int(folder.name) * PER_FOLDER
            if first >= n:
                shutil.rmtree(folder)
            elif first + PER_FOLDER > n:
                for path in folder.iterdir():
                    if int(path.stem) >= n:
                        path.unlink()

    def close(self) -> None:
        """Nothing stays open."""
