"""A folder of single files, one an image: FOLDER/00000/00000000.SUFFIX, 1,000 a folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from synthcxr.data import image_reader
from synthcxr.data.records import Record
from synthcxr.writers.formats.store import PER_FOLDER


class Files:
    """What stores of single files under `root`/`folder` share; each adds how an image becomes a file."""

    folder: ClassVar[str]
    suffix: ClassVar[str]

    def __init__(self, root: Path) -> None:
        self.root = root

    def file_name(self, ordinal: int) -> str:
        """The folder and the image's ordinal, in its folder of a thousand."""
        return f"{self.folder}/{ordinal // PER_FOLDER:05d}/{ordinal:08d}{self.suffix}"

    def write(self, ordinal: int, data: bytes, record: Record) -> None:
        """Write one file; an unfinished one of a stopped run is overwritten."""
        path = self.root / record.file_name
        if ordinal % PER_FOLDER == 0 or not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def read(self, held: Iterable[Record]) -> Iterator[bytes | None]:
        """The bytes of each record's file, None where they are not those of its sha256."""
        return image_reader.read_whole(self.root, held)

    def cut(self, n: int) -> None:
        """Remove the files of the images after the first `n`."""
        for folder in sorted((self.root / self.folder).glob("*")):
            first = int(folder.name) * PER_FOLDER
            if first >= n:
                shutil.rmtree(folder)
            elif first + PER_FOLDER > n:
                for path in folder.iterdir():
                    if int(path.stem) >= n:
                        path.unlink()

    def close(self) -> None:
        """Nothing stays open."""
