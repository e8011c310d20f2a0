"""The place of a dataset: complete or not at all, one writer at a time, and other people's files are not touched."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from synthcxr.data.synthetic_dataset import ImageRecord
from synthcxr.errors import ConfigError, DataError
from synthcxr.storage import json_files
from synthcxr.writers import staging
from synthcxr.writers.journal import Journal, JournalLine

LINE = JournalLine(8, 0.1, (ImageRecord("images/00000/00000000.png", 3, 1, "", ("Mass",), (0.1,) * 14, 1.0, "ab"),))
RUN = {
    "model": {"name": "x", "digests": {}, "training_data": "f", "phantom": True, "resolution": 8},
    "request": {"n": 1, "seed": 1, "labels": [], "max_draws": 1, "batch": 1},
    "counts": {"requested": 1, "found": 1, "draws": 1, "acceptance_rate": 1.0},
    "complete": True,
    "format": "png",
    "provider": "CPUExecutionProvider",
    "threads": 1,
    "versions": {},
}


def make_dataset(folder: Path, metadata: str) -> Path:
    """The outline of a finished dataset."""
    folder.mkdir(parents=True)
    json_files.write_json(folder / "run.json", RUN)
    (folder / "metadata.csv").write_text(metadata)
    return folder


def make_complete_partial(out: Path) -> Path:
    """A complete OUT.partial just before the swap."""
    partial = staging.open_partial(out, {"n": 1}, discard=True)
    Journal(partial / "journal.jsonl").append(LINE)
    (partial / "run.json").write_text("{}")
    (partial / "metadata.csv").write_text("new")
    return partial


def test_swap_replaces_the_old_dataset(tmp_path: Path) -> None:
    """OUT.partial becomes OUT, without journal and request; the old dataset is deleted."""
    for out in (tmp_path / "fresh", make_dataset(tmp_path / "old", "old")):
        make_complete_partial(out)
        staging.swap_in(out)
        assert (out / "metadata.csv").read_text() == "new"
        assert {path.name for path in out.iterdir()} == {"run.json", "metadata.csv"}
    assert {path.name for path in tmp_path.iterdir()} == {"fresh", "old"}


def test_created_parent_folders_are_removed_if_empty(tmp_path: Path) -> None:
    """Parent folders that were created for OUT stay if something was written, and are removed if not."""
    for out in (tmp_path / "a" / "b" / "x", tmp_path / "existing" / "b" / "x"):
        (tmp_path / "existing").mkdir(exist_ok=True)
        with pytest.raises(DataError, match="no room"), staging.lock_output(out):
            raise DataError("no room")
    assert [path.name for path in tmp_path.rglob("*")] == ["existing"]
    with staging.lock_output(tmp_path / "a" / "b" / "x"):
        make_complete_partial(tmp_path / "a" / "b" / "x")
    assert (tmp_path / "a" / "b" / "x.partial").is_dir()


@pytest.mark.parametrize("n_done", [1, 2, 3, 4])
def test_interrupted_swap_is_completed_or_undone(tmp_path: Path, n_done: int) -> None:
    """After each step of the swap, recovery finds a complete dataset and puts the new one in place."""
    out, partial = make_dataset(tmp_path / "x", "old"), make_complete_partial(tmp_path / "x")
    steps = [
        lambda: (partial / "request.json").unlink(),
        lambda: (partial / "journal.jsonl").unlink(),
        lambda: out.rename(tmp_path / "x.replaced"),
        lambda: partial.rename(out),
    ]
    for step in steps[:n_done]:
        step()
    staging.recover_interrupted_swap(out)
    assert (out / "metadata.csv").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_recovery_keeps_an_unfinished_dataset(tmp_path: Path) -> None:
    """A folder with request.json is not finished, even if it has a run.json."""
    make_complete_partial(tmp_path / "x")
    staging.recover_interrupted_swap(tmp_path / "x")
    assert not (tmp_path / "x").exists() and (tmp_path / "x.partial").exists()


def test_interrupted_deletion_is_completed(tmp_path: Path) -> None:
    """OUT.discarded is deleted."""
    make_dataset(tmp_path / "x.discarded", "old")
    staging.recover_interrupted_swap(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x.discarded", "x.replaced"])
def test_recovery_does_not_delete_other_files(name: str, tmp_path: Path) -> None:
    """A folder that has the name of an interrupted swap but other content stays, with an error."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match=f"{name}: contains something other than a dataset"):
        staging.recover_interrupted_swap(tmp_path / "x")
    assert (tmp_path / name / "thesis.txt").exists()


def test_partial_request_needs_a_journal_line(tmp_path: Path) -> None:
    """OUT.partial counts as an unfinished dataset from its first journal line on; other content is an error."""
    out = tmp_path / "x"
    assert staging.read_partial_request(out) is None
    partial = staging.open_partial(out, {"n": 5}, discard=True)
    assert staging.read_partial_request(out) is None
    Journal(partial / "journal.jsonl").append(LINE)
    assert staging.read_partial_request(out) == {"n": 5}
    (partial / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="x.partial: contains something other than a dataset"):
        staging.read_partial_request(out)


def test_empty_partial_is_removed(tmp_path: Path) -> None:
    """A run that fails before its first image leaves nothing; a run that fails later leaves its images."""
    out = tmp_path / "x"
    partial = staging.open_partial(out, {}, discard=True)
    staging.remove_empty_partial(out)
    assert not partial.exists()
    Journal(staging.open_partial(out, {}, discard=True) / "journal.jsonl").append(LINE)
    staging.remove_empty_partial(out)
    assert partial.exists()


def test_finished_run_is_read_from_a_dataset_only(tmp_path: Path) -> None:
    """An absent or empty folder has no run, a dataset has one, and other content is an error."""
    assert staging.read_finished_run(tmp_path / "x") is None
    (tmp_path / "x").mkdir()
    assert staging.read_finished_run(tmp_path / "x") is None
    assert staging.read_finished_run(make_dataset(tmp_path / "y", "")) == RUN
    (tmp_path / "y/run.json").unlink()
    with pytest.raises(DataError, match="contains something other than a dataset"):
        staging.read_finished_run(tmp_path / "y")


def test_impossible_output_folders_are_refused(tmp_path: Path) -> None:
    """The root of the file system and a folder below a file are no folders for a dataset."""
    with pytest.raises(ConfigError, match="cannot be the folder of a dataset"):
        staging.resolve_out(Path("/"))
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is not writable"), staging.lock_output(tmp_path / "file/x"):
        pass


HOLD_LOCK = """
import sys, time
from pathlib import Path
from synthcxr.storage import json_files
from synthcxr.writers import staging
with staging.lock_output(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    """The lock of a running process refuses others; after SIGKILL it is free, and no lock file is left in the end."""
    out = tmp_path / "x"
    with subprocess.Popen([sys.executable, "-c", HOLD_LOCK, str(out)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "locked\n"
        with pytest.raises(DataError, match="another process is writing here"), staging.lock_output(out):
            pass
        holder.send_signal(signal.SIGKILL)
    assert (tmp_path / "x.lock").exists()
    with staging.lock_output(out):
        pass
    assert list(tmp_path.iterdir()) == []


def test_links_are_followed(tmp_path: Path) -> None:
    """A link to an output folder is resolved, so that the swap stays on one file system."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk/x")
    assert staging.resolve_out(tmp_path / "link") == (tmp_path / "disk/x").resolve()
