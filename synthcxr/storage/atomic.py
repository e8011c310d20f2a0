"""Atomic writes: a file or a folder is written next to its final path and renamed into place when it is complete."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from synthcxr.errors import DataError
from synthcxr.storage import stop_signals, write_errors

PARTIAL_SUFFIX, REPLACED_SUFFIX = ".partial", ".replaced-by-synthcxr"
FINISHED_SUFFIX = ".partial.finished-by-synthcxr"
"""The suffix of the file that marks OUT.partial as complete; it contains the request that OUT.partial fulfils."""
STAGING_FOLDERS = (".partial-of-synthcxr", ".finished-by-synthcxr")
"""The folders in a folder that `fill_folder` fills: files that are being written, and files that are to be moved."""


def partial_path(path: Path, suffix: str = PARTIAL_SUFFIX) -> Path:
    """Return the path next to `path` at which its new content is written."""
    return path.with_name(path.name + suffix)


def describe_absent(path: Path) -> str:
    """Say that a file or folder does not exist, and where a stopped command left its unfinished content."""
    partial = partial_path(path)
    if not os.path.lexists(partial):  # false for a name that is too long, where Path.exists raises
        return f"{path}: does not exist"
    return f"{path}: does not exist, but {partial} is unfinished; repeat the command that writes it"


@contextlib.contextmanager
def open_file(path: Path, *, fsync: bool = False, concurrent: bool = False) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces `path` when the block ends, and that is removed when the block fails.

    `fsync` flushes the file to disk before it replaces `path`, so that it survives a power failure. `concurrent`
    gives each call a partial file of its own, so that several processes may write `path` at the same time, also in
    containers that share a folder.
    Raises OSError, which names `path` if the disk is full.
    """
    partial = partial_path(path, f".{secrets.token_hex(8)}{PARTIAL_SUFFIX}" if concurrent else PARTIAL_SUFFIX)
    with create_parents(path), write_errors.name_path(path):
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
def open_folder(path: Path, *, request: str = "", journal: str = "") -> Iterator[Path]:
    """Give an empty folder that replaces `path` when the block ends, and that is removed when the block fails.

    A folder that contains the file `journal` when the block fails, or when the process is killed, stays at OUT.partial,
    and the next call gives it as it is. The block removes this file at its end.

    The old folder stays at `path` until then. If the process is killed, the old folder is still at `path`, or under
    REPLACED_SUFFIX, from where the next call restores it. If the complete new folder cannot be renamed to `path`, it
    stays at OUT.partial, and the next call of `finish_rename` or `open_folder` renames it. Raises DataError then, and
    OSError for other failures.
    """
    path = path.resolve()
    partial, marker = partial_path(path), partial_path(path, FINISHED_SUFFIX)
    with create_parents(path), write_errors.name_path(path):
        finish_rename(path)
        try:
            if not _is_kept(partial, journal):
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
            yield partial
        except BaseException:
            if not _is_kept(partial, journal):
                shutil.rmtree(partial, ignore_errors=True)
            raise
        with stop_signals.deferred():
            with contextlib.suppress(OSError):  # the disk may be full; the rename needs no space
                write_text(marker, request)
            _replace_folder(path)


def _is_kept(partial: Path, journal: str) -> bool:
    """Whether a partial folder contains the file `journal`."""
    return bool(journal) and not partial.is_symlink() and (partial / journal).is_file()


def finish_rename(path: Path) -> str | None:
    """Rename a complete OUT.partial, which an earlier process could not rename, to `path`; return its request.

    Returns None if there is no complete OUT.partial. Raises DataError if the rename fails again.
    """
    path = path.resolve()
    replaced, marker = partial_path(path, REPLACED_SUFFIX), partial_path(path, FINISHED_SUFFIX)
    request = None
    with stop_signals.deferred():
        if marker.is_file() and partial_path(path).is_dir():
            request = marker.read_text(encoding="utf-8")
            _replace_folder(path)
        marker.unlink(missing_ok=True)
        if replaced.exists() and not path.exists():
            replaced.rename(path)
        shutil.rmtree(replaced, ignore_errors=True)
    return request


def _replace_folder(path: Path) -> None:
    """Rename the complete OUT.partial to `path`, and then delete its mark and the old folder."""
    partial, replaced = partial_path(path), partial_path(path, REPLACED_SUFFIX)
    replace_folder(partial, path, replaced)
    partial_path(path, FINISHED_SUFFIX).unlink(missing_ok=True)
    shutil.rmtree(replaced, ignore_errors=True)


def replace_folder(new: Path, path: Path, replaced: Path) -> None:
    """Rename the folder `new` to `path`, and the folder that is there to `replaced`.

    If that fails, both folders stay, where they were if possible; DataError names `new`.
    """
    try:
        with stop_signals.deferred():
            if path.exists():
                if replaced.exists():
                    shutil.rmtree(replaced)
                path.rename(replaced)
            try:
                new.rename(path)
            except BaseException:
                if replaced.exists() and not path.exists():
                    with contextlib.suppress(OSError):  # the next call of `finish_rename` tries again
                        replaced.rename(path)
                raise
    except OSError as error:
        raise DataError(
            f"{path}: cannot be replaced ({error.strerror}); the finished result is in {new}: run the same command"
            " again to move it, or move it yourself"
        ) from error


@contextlib.contextmanager
def fill_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder whose files move into `path` when the block ends, and that is removed when the block fails.

    Files with the same names are replaced, others stay. Nothing has to be renamed to `path` itself, so it may be a
    mount point. If moving is interrupted, the next call moves the rest. Raises DataError if a file cannot be moved, and
    OSError for other failures.
    """
    partial, finished = (path / name for name in STAGING_FOLDERS)
    with create_parents(partial), write_errors.name_path(path):
        if finished.is_dir():
            _move_files(finished, path)
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            yield partial
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        with stop_signals.deferred():
            partial.rename(finished)
            _move_files(finished, path)


def _move_files(finished: Path, path: Path) -> None:
    """Move every file below `finished` to the same place below `path`, then delete `finished`."""
    try:
        with stop_signals.deferred():
            for file in sorted(entry for entry in finished.rglob("*") if not entry.is_dir()):
                target = path / file.relative_to(finished)
                target.parent.mkdir(parents=True, exist_ok=True)
                file.replace(target)
            shutil.rmtree(finished, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be filled ({error.strerror}); the finished files are in {finished}: run the same command"
            " again, or move them yourself"
        ) from error


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
