"""A dataset appears complete or not at all: it is written to OUT.partial under a lock, then moved to OUT.

The names beside OUT: OUT.partial is the unfinished dataset, OUT.replaced the old dataset during the swap, and
OUT.discarded an unfinished dataset that is being deleted. A dataset in OUT.partial without request.json is finished.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from synthcxr.data.run_schema import RunJson
from synthcxr.data.synthetic_dataset import METADATA_FILE, RUN_FILE, read_run
from synthcxr.errors import DataError
from synthcxr.storage import atomic, json_files, stop_signals
from synthcxr.writers.formats.store import FORMATS
from synthcxr.writers.journal import JOURNAL_FILE, Journal
from synthcxr.writers.sidecars import croissant, data_entry_csv
from synthcxr.writers.sidecars.latents_npy import LATENTS_FILE
from synthcxr.writers.sidecars.readme_md import README_FILE

REQUEST_FILE = "request.json"
_ADVICE = "delete the folder, or choose another --out"
_SIDECARS = {
    *(METADATA_FILE, RUN_FILE, data_entry_csv.DATA_ENTRY_FILE, LATENTS_FILE, croissant.CROISSANT_FILE, README_FILE),
}
_UNFINISHED_FILES = {
    atomic.partial_path(Path(name)).name for name in (REQUEST_FILE, croissant.CROISSANT_FILE, RUN_FILE)
}


def _list_dataset_names() -> set[str]:
    """The files and folders of a dataset in any format."""
    return _SIDECARS | {image_format.folder for image_format in FORMATS.load_usable()}


def _list_partial_names() -> set[str]:
    """The files and folders of an unfinished dataset in any format."""
    return _list_dataset_names() | _UNFINISHED_FILES | {REQUEST_FILE, JOURNAL_FILE}


def partial_folder(out: Path) -> Path:
    """The folder of the unfinished dataset."""
    return atomic.partial_path(out)


def _replaced_folder(out: Path) -> Path:
    return out.with_name(out.name + ".replaced")


def _discarded_folder(out: Path) -> Path:
    return out.with_name(out.name + ".discarded")


def recover_interrupted_swap(out: Path) -> bool:
    """Complete or undo the swap or deletion that a process left unfinished; return whether a swap was completed.

    Raises DataError if the swap fails again.
    """
    replaced, discarded = _replaced_folder(out), _discarded_folder(out)
    for folder in (discarded, replaced):
        if not _is_free(folder) and not _contains_only(folder, _list_partial_names()):
            raise DataError(f"{folder}: {_describe_content(folder)}; move it away, or choose another --out")
    if discarded.exists():
        shutil.rmtree(discarded)
    if _is_finished(partial_folder(out)):
        swap_in(out)
        return True
    if replaced.exists():
        if out.exists():
            shutil.rmtree(replaced)
        else:
            replaced.rename(out)
    return False


def swap_in(out: Path) -> None:
    """Move the complete OUT.partial to OUT, and delete the dataset that was there.

    Raises DataError if it cannot be moved; both datasets then stay where they are.
    """
    partial, replaced = partial_folder(out), _replaced_folder(out)
    with stop_signals.deferred():
        (partial / REQUEST_FILE).unlink(missing_ok=True)
        (partial / JOURNAL_FILE).unlink(missing_ok=True)
        atomic.replace_folder(partial, out, replaced)
        if replaced.exists():
            shutil.rmtree(replaced)


def read_finished_run(out: Path) -> RunJson | None:
    """Read the run.json of the dataset at `out`; None if `out` is absent or empty, DataError for anything else."""
    if _is_free(out):
        return None
    if not (out / RUN_FILE).is_file() or not (out / METADATA_FILE).is_file():
        raise DataError(f"{out}: {_describe_content(out)}; choose another --out")
    return read_run(out)


def read_partial_request(out: Path) -> dict[str, Any] | None:
    """Read the request.json of OUT.partial; None if it has no journal line yet, DataError for anything else."""
    partial = partial_folder(out)
    if _is_free(partial) or _contains_only(partial, {atomic.partial_path(Path(REQUEST_FILE)).name}):
        return None
    if not (partial / REQUEST_FILE).is_file() or not _contains_only(partial, _list_partial_names()):
        raise DataError(f"{partial}: {_describe_content(partial)}; move it away, or choose another --out")
    if not Journal(partial / JOURNAL_FILE).has_line():
        return None
    request = json_files.read_json(partial / REQUEST_FILE, advice=_ADVICE)
    if not isinstance(request, dict):
        raise DataError(f"{partial / REQUEST_FILE}: is not a request; {_ADVICE}")
    return request


def open_partial(out: Path, request: dict[str, Any], *, discard: bool) -> Path:
    """Create OUT.partial with its request.json and return it; with `discard`, delete an existing one first."""
    partial = partial_folder(out)
    if discard and partial.exists():
        _discard_partial(out)
    partial.mkdir(parents=True, exist_ok=True)
    json_files.write_json(partial / REQUEST_FILE, request)
    return partial


def remove_empty_partial(out: Path) -> None:
    """Delete OUT.partial if it contains no image yet; a finished dataset stays."""
    partial = partial_folder(out)
    if partial.exists() and not _is_finished(partial) and not Journal(partial / JOURNAL_FILE).has_line():
        _discard_partial(out)


def refuse_unknown_files(out: Path) -> None:
    """Raise DataError if replacing the dataset at `out` would delete files that `generate` did not write."""
    names = _list_dataset_names()
    if not _is_free(out) and not _contains_only(out, names):
        unknown = min(path.name for path in out.iterdir() if path.name not in names)
        raise DataError(
            f"{out}: also contains {unknown}, which would be deleted; move it away, or choose another --out"
        )


def _is_finished(partial: Path) -> bool:
    return (partial / RUN_FILE).is_file() and not (partial / REQUEST_FILE).exists()


def _discard_partial(out: Path) -> None:
    partial_folder(out).rename(_discarded_folder(out))
    shutil.rmtree(_discarded_folder(out))


def _is_free(folder: Path) -> bool:
    if not folder.exists():
        return True
    if not folder.is_dir():
        raise DataError(f"{folder}: is a file; choose another --out")
    return not any(folder.iterdir())


def _contains_only(folder: Path, names: set[str]) -> bool:
    return all(path.name in names for path in folder.iterdir())


def _describe_content(folder: Path) -> str:
    return f"contains something other than a dataset ({min(path.name for path in folder.iterdir())})"
