"""A guard against replacing a folder that contains files of other programs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from synthcxr.errors import DataError
from synthcxr.storage import atomic


def refuse_foreign_files(folder: Path, own_names: Iterable[str]) -> None:
    """Raise DataError if `folder` contains a file that is not among `own_names`, or is itself a file.

    The partial files that a killed process left of `own_names` are no other program's.
    """
    own_names = set(own_names)
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file; give another --out")
    names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    foreign = sorted(name for name in names - own_names if not _is_partial(name, own_names))
    if foreign:
        raise DataError(
            f"{folder}: contains {foreign[0]}, which synthcxr did not write; give another --out or move it away"
        )


def remove_partial_files(folder: Path, own_names: Iterable[str]) -> None:
    """Remove the partial files that a killed process left of `own_names`."""
    own_names = set(own_names)
    for entry in folder.iterdir() if folder.is_dir() else ():
        if _is_partial(entry.name, own_names):
            entry.unlink(missing_ok=True)


def _is_partial(name: str, own_names: set[str]) -> bool:
    """Whether `name` is NAME.partial, or NAME.PID.partial of a file that several processes may write."""
    written_name, suffix = name.removesuffix(atomic.PARTIAL_SUFFIX), atomic.PARTIAL_SUFFIX
    stem, _, pid = written_name.rpartition(".")
    return name.endswith(suffix) and (written_name in own_names or (pid.isdigit() and stem in own_names))
