"""How a dataset gets into its place whole or not at all: OUT.partial, OUT.lock, and the swap at the end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthcxr.data import records
from synthcxr.errors import ConfigError, DataError
from synthcxr.storage import atomic, json_files
from synthcxr.writers import journal
from synthcxr.writers.formats import image_folder, webdataset
from synthcxr.writers.formats.store import DICOM, LATENTS
from synthcxr.writers.sidecars import croissant, data_entry_csv

REQUEST = "request.json"
_BESIDE = {records.METADATA, records.RUN, data_entry_csv.NAME, LATENTS, croissant.NAME}
_OURS = _BESIDE | {image_folder.FOLDER, DICOM, webdataset.FOLDER}
_OURS_PARTIAL = {REQUEST, journal.NAME} | _OURS | {f"{name}.partial" for name in (REQUEST, croissant.NAME, records.RUN)}


def real(out: Path) -> Path:
    """`out` without links and dots; ConfigError where it is no name that a folder can be renamed to."""
    resolved = out.resolve()
    if not resolved.name:
        raise ConfigError(f"{out}: is no folder to write a dataset to; choose another --out")
    return resolved


def partial(out: Path) -> Path:
    """The folder in which the dataset `out` grows."""
    return atomic.beside(out)


def _replaced(out: Path) -> Path:
    return out.with_name(out.name + ".replaced")


def _discarded(out: Path) -> Path:
    return out.with_name(out.name + ".discarded")


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold OUT.lock; DataError where another process holds it. The system frees it when its holder dies.

    Folders above `out` that were made for it go with the lock where nothing was put into them.
    """
    path = out.with_name(out.name + ".lock")
    with contextlib.ExitStack() as after:
        try:
            after.enter_context(atomic.parents(path))
        except OSError as error:
            raise _unwritable(out, error) from error
        after.callback(os.close, _acquire(path, out))
        after.callback(path.unlink, missing_ok=True)
        yield


def _acquire(path: Path, out: Path) -> int:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            raise _unwritable(out, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise DataError(f"{out}: another run is writing here; wait for it, or choose another --out") from None
        if _still_named(path, descriptor):
            return descriptor
        os.close(descriptor)


def _unwritable(out: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{out}: cannot be written ({error.strerror}); choose another --out")


def _still_named(path: Path, descriptor: int) -> bool:
    """What was locked still lies under its name: its last holder may have removed it in between."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def recover(out: Path) -> None:
    """Complete or undo a swap or removal that a killed process left half done."""
    for left in (_discarded(out), _replaced(out)):
        if not _is_free(left) and not _only(left, _OURS_PARTIAL):
            raise DataError(f"{left}: holds something else ({_example(left)}); move it away, or choose another --out")
    if _discarded(out).exists():
        shutil.rmtree(_discarded(out))
    if _replaced(out).exists():
        if out.exists():
            shutil.rmtree(_replaced(out))
        else:
            _replaced(out).rename(out)
    if (partial(out) / records.RUN).is_file() and not (partial(out) / REQUEST).exists():
        settle(out)


def settle(out: Path) -> None:
    """Put the finished OUT.partial in the place of OUT."""
    grown, replaced = partial(out), _replaced(out)
    (grown / REQUEST).unlink(missing_ok=True)
    (grown / journal.NAME).unlink(missing_ok=True)
    if out.exists() and any(out.iterdir()):
        out.rename(replaced)
    grown.rename(out)
    if replaced.exists():
        shutil.rmtree(replaced)


def finished(out: Path) -> dict[str, Any] | None:
    """The run.json of the dataset at `out`; None where nothing is there; DataError where it is something else."""
    if _is_free(out):
        return None
    if not (out / records.RUN).is_file() or not (out / records.METADATA).is_file():
        raise DataError(f"{out}: holds something else ({_example(out)}); choose another --out")
    return records.read_run(out)


def begun(out: Path) -> dict[str, Any] | None:
    """The request.json of what grows beside `out`; None where no image does yet; DataError for something else."""
    grown = partial(out)
    if _is_free(grown) or _only(grown, {f"{REQUEST}.partial"}):
        return None
    if not (grown / REQUEST).is_file() or not _only(grown, _OURS_PARTIAL):
        raise DataError(f"{grown}: holds something else ({_example(grown)}); move it away, or choose another --out")
    if not _has_line(grown):
        return None
    held: dict[str, Any] = json_files.read_json(grown / REQUEST)
    return held


def begin(out: Path, request: dict[str, Any], *, afresh: bool) -> Path:
    """The folder to grow in, with the request written into it; `afresh` drops what an earlier run left there."""
    grown = partial(out)
    if afresh and grown.exists():
        _discard(out)
    grown.mkdir(parents=True, exist_ok=True)
    json_files.write_json(grown / REQUEST, request)
    return grown


def drop_if_empty(out: Path) -> None:
    """Remove an OUT.partial in which nothing has been made yet."""
    if partial(out).exists() and not _has_line(partial(out)):
        _discard(out)


def _discard(out: Path) -> None:
    partial(out).rename(_discarded(out))
    shutil.rmtree(_discarded(out))


def _has_line(grown: Path) -> bool:
    return next(journal.Journal(grown / journal.NAME).lines(), None) is not None


def refuse_strangers(out: Path) -> None:
    """DataError where replacing the dataset at `out` would lose files that `generate` did not write."""
    if not _is_free(out) and not _only(out, _OURS):
        strange = sorted(path.name for path in out.iterdir() if path.name not in _OURS)
        raise DataError(f"{out}: also holds {strange[0]}, which would be lost; move it away, or choose another --out")


def _is_free(folder: Path) -> bool:
    if not folder.exists():
        return True
    if not folder.is_dir():
        raise DataError(f"{folder}: is a file; choose another --out")
    return not any(folder.iterdir())


def _only(folder: Path, names: set[str]) -> bool:
    return all(path.name in names for path in folder.iterdir())


def _example(folder: Path) -> str:
    return min(path.name for path in folder.iterdir())
