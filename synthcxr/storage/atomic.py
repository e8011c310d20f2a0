"""Atomic writes: a file or a folder is written next to its final path and renamed into place when it is complete."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from synthcxr.storage import stop_signals

PARTIAL_SUFFIX, REPLACED_SUFFIX = ".partial", ".replaced-by-synthcxr"


def partial_path(path: Path, suffix: str = PARTIAL_SUFFIX) -> Path:
    """Return the path next to `path` at which its new content is written."""
    return path.with_name(path.name + suffix)


@contextlib.contextmanager
def open_file(path: Path, *, fsync: bool = False, concurrent: bool = False) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces `path` when the block ends, and that is removed when the block fails.

    `fsync` flushes the file to disk before it replaces `path`, so that it survives a power failure. `concurrent`
    gives each process a partial file of its own, so that several processes may write `path` at the same time.
    Raises OSError.
    """
    partial = partial_path(path, f".{os.getpid()}{PARTIAL_SUFFIX}" if concurrent else PARTIAL_SUFFIX)
    with create_parents(path):
        try:
            with partial.open("wb") as file:
                yield file
                if fsync:
                    file.flush()
                    os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8."""
    with open_file(path) as file:
        file.write(text.encode("utf-8"))


@contextlib.contextmanager
def open_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder that replaces `path` when the block ends, and that is removed when the block fails.

    The old folder stays at `path` until then. If the process is killed, the old folder is still at `path`, or under
    REPLACED_SUFFIX, from where the next call restores it. Raises OSError.
    """
    path = path.resolve()
    partial, replaced = partial_path(path), partial_path(path, REPLACED_SUFFIX)
    with create_parents(path):
        try:
            if replaced.exists() and not path.exists():
                replaced.rename(path)
            for leftover in (partial, replaced):
                shutil.rmtree(leftover, ignore_errors=True)
            partial.mkdir()
            yield partial
            with stop_signals.deferred():
                if path.exists():
                    path.rename(replaced)
                partial.rename(path)
                shutil.rmtree(replaced, ignore_errors=True)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def create_parents(path: Path) -> Iterator[None]:
    """Create the missing folders above `path` for the block, and afterwards remove those of them that are empty."""
    missing = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for parent in missing:
            with contextlib.suppress(OSError):  # it is not empty, or another process removed it
                parent.rmdir()
