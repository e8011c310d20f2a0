"""tar files: where the data of their regular members lie. Links, devices and sparse members are never followed."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from synthcxr.errors import DataError
from synthcxr.storage import guarded_files

MAX_MEMBERS = 1_000_000
BLOCK = tarfile.BLOCKSIZE

MemberIndex = dict[str, tuple[int, int]]
"""Offset and size in bytes of the members of a tar file, by name."""


def index_members(file: BinaryIO, name: Path | str) -> MemberIndex:
    """Index the regular members of a tar file up to the first damaged header; DataError where it cannot be read."""
    index: MemberIndex = {}
    try:
        with guarded_files.report_failure(name, "tar"):
            index.update(_iterate_members(file))
    except DataError as error:
        if isinstance(error.__cause__, OSError):
            raise
    return index


def _iterate_members(file: BinaryIO) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the members whose data lie inside the file; stop where a header leads backwards."""
    end, previous = _measure(file), -1
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for n_members, info in enumerate(tar):
            if info.offset <= previous or info.size < 0 or n_members >= MAX_MEMBERS:
                return
            previous = info.offset
            if info.isreg() and not info.issparse() and info.offset_data + info.size <= end:
                yield info.name, (info.offset_data, info.size)


def read_header(file: BinaryIO) -> tarfile.TarInfo | None:
    """Read the header of a regular member at the current position; None if it is damaged or its data are cut off."""
    try:
        info = tarfile.TarInfo.frombuf(file.read(BLOCK), "ascii", "strict")
    except (tarfile.TarError, ValueError):
        return None
    fits = 0 <= info.size <= _measure(file) - file.tell()
    return info if fits and info.isreg() and not info.issparse() else None


def _measure(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size
