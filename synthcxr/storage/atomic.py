"""A file or a folder in its place whole or not at all: written beside it, then renamed into it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PARTIAL, REPLACED = ".partial", ".replaced-by-synthcxr"


def beside(path: Path, suffix: str = PARTIAL) -> Path:
    """Where what is to become `path` is written."""
    return path.with_name(path.name + suffix)


@contextlib.contextmanager
def file(path: Path, *, lasting: bool = False, shared: bool = False) -> Iterator[BinaryIO]:
    """A file to write into, which takes the place of `path` when the block ends and is removed when it fails.

    `lasting` flushes it to the disk first, so that it outlives a power cut; `shared` gives each process a partial
    file of its own, where several may write one `path` at a time. Raises OSError as the system does.
    """
    partial = beside(path, f".{os.getpid()}{PARTIAL}" if shared else PARTIAL)
    with parents(path):
        try:
            with partial.open("wb") as opened:
                yield opened
                if lasting:
                    opened.flush()
                    os.fsync(opened.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def text(path: Path, content: str) -> None:
    """Write a text file as UTF-8."""
    with file(path) as opened:
        opened.write(content.encode("utf-8"))


@contextlib.contextmanager
def folder(path: Path) -> Iterator[Path]:
    """An empty folder to write into, which takes the place of `path` when the block ends, and goes when it fails.

    What stood at `path` stays until then. A process killed in between leaves it as it was, or under REPLACED for the
    instant of the swap, from where the next call brings it back. Raises OSError as the system does.
    """
    path = path.resolve()
    partial, replaced = beside(path), beside(path, REPLACED)
    with parents(path):
        try:
            if replaced.exists() and not path.exists():
                replaced.rename(path)
            for left in (partial, replaced):
                shutil.rmtree(left, ignore_errors=True)
            partial.mkdir()
            yield partial
            if path.exists():
                path.rename(replaced)
            partial.rename(path)
            shutil.rmtree(replaced, ignore_errors=True)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def parents(path: Path) -> Iterator[None]:
    """Make the folders above `path` for the block, and take away those of them that are empty after it."""
    made = [above for above in path.parents if not above.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for above in made:
            with contextlib.suppress(OSError):  # it holds something now, or another process took it away
                above.rmdir()
