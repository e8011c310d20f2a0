"""A dataset's place: whole or not at all, one writer at a time, and nothing of a stranger's is touched."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from synthcxr.data.records import Record
from synthcxr.errors import ConfigError, DataError
from synthcxr.writers import staging
from synthcxr.writers.journal import Journal, Line

LINE = Line(8, 0.1, (Record("images/00000/00000000.png", 3, 1, "", ("Mass",), (0.1,) * 14, 1.0, "ab"),))


def dataset(folder: Path, what: str) -> Path:
    """The outline of a finished dataset."""
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    (folder / "metadata.csv").write_text(what)
    return folder


def ready(out: Path) -> Path:
    """A grown dataset just before it is put in place."""
    grown = staging.begin(out, {"n": 1}, afresh=True)
    Journal(grown / "journal.jsonl").append(LINE)
    (grown / "run.json").write_text("{}")
    (grown / "metadata.csv").write_text("new")
    return grown


def test_settle_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """The grown folder takes the place, without its journal and request; the old one is gone."""
    for out in (tmp_path / "fresh", dataset(tmp_path / "old", "old")):
        ready(out)
        staging.settle(out)
        assert (out / "metadata.csv").read_text() == "new"
        assert {path.name for path in out.iterdir()} == {"run.json", "metadata.csv"}
    assert {path.name for path in tmp_path.iterdir()} == {"fresh", "old"}


def test_folders_that_were_made_in_vain_go_again(tmp_path: Path) -> None:
    """Of the folders above OUT those that were made for it stay where a dataset grew, and go where none did."""
    for out in (tmp_path / "a" / "b" / "x", tmp_path / "kept" / "b" / "x"):
        (tmp_path / "kept").mkdir(exist_ok=True)
        with pytest.raises(DataError, match="no room"), staging.locked(out):
            raise DataError("no room")
    assert [path.name for path in tmp_path.rglob("*")] == ["kept"]
    with staging.locked(tmp_path / "a" / "b" / "x"):
        ready(tmp_path / "a" / "b" / "x")
    assert (tmp_path / "a" / "b" / "x.partial").is_dir()


@pytest.mark.parametrize("n_done", [1, 2, 3, 4])
def test_a_swap_killed_halfway_is_completed_or_undone(tmp_path: Path, n_done: int) -> None:
    """After each of its steps `recover` finds a whole dataset: the old one while the new is not ready, then the new."""
    out, grown = dataset(tmp_path / "x", "old"), ready(tmp_path / "x")
    steps = [
        lambda: (grown / "request.json").unlink(),
        lambda: (grown / "journal.jsonl").unlink(),
        lambda: out.rename(tmp_path / "x.replaced"),
        lambda: grown.rename(out),
    ]
    for step in steps[:n_done]:
        step()
    staging.recover(out)
    assert (out / "metadata.csv").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_recover_leaves_what_still_grows(tmp_path: Path) -> None:
    """A folder with its request is no finished dataset, even where run.json is written."""
    ready(tmp_path / "x")
    staging.recover(tmp_path / "x")
    assert not (tmp_path / "x").exists() and (tmp_path / "x.partial").exists()


def test_a_removal_killed_halfway_is_completed(tmp_path: Path) -> None:
    """What was being thrown away goes."""
    dataset(tmp_path / "x.discarded", "old")
    staging.recover(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x.discarded", "x.replaced"])
def test_a_folder_that_only_has_the_name(name: str, tmp_path: Path) -> None:
    """A stranger's folder under the name of a half-done swap is not cleared away."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match=f"{name}: holds something else"):
        staging.recover(tmp_path / "x")
    assert (tmp_path / name / "thesis.txt").exists()


def test_begun(tmp_path: Path) -> None:
    """Only a folder in which an image was journaled counts as begun; a stranger's folder of that name is refused."""
    out = tmp_path / "x"
    assert staging.begun(out) is None
    grown = staging.begin(out, {"n": 5}, afresh=True)
    assert staging.begun(out) is None
    Journal(grown / "journal.jsonl").append(LINE)
    assert staging.begun(out) == {"n": 5}
    (grown / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="x.partial: holds something else"):
        staging.begun(out)


def test_drop_if_empty(tmp_path: Path) -> None:
    """A run that fails before its first image leaves nothing; one that fails later leaves its images."""
    out = tmp_path / "x"
    grown = staging.begin(out, {}, afresh=True)
    staging.drop_if_empty(out)
    assert not grown.exists()
    Journal(staging.begin(out, {}, afresh=True) / "journal.jsonl").append(LINE)
    staging.drop_if_empty(out)
    assert grown.exists()


def test_finished(tmp_path: Path) -> None:
    """Nothing, an empty folder, a dataset, something else."""
    assert staging.finished(tmp_path / "x") is None
    (tmp_path / "x").mkdir()
    assert staging.finished(tmp_path / "x") is None
    assert staging.finished(dataset(tmp_path / "y", "")) == {}
    (tmp_path / "y/run.json").unlink()
    with pytest.raises(DataError, match="holds something else"):
        staging.finished(tmp_path / "y")


def test_no_place(tmp_path: Path) -> None:
    """The root of the disk, and a folder below a file, are no place for a dataset."""
    with pytest.raises(ConfigError, match="is no folder to write a dataset to"):
        staging.real(Path("/"))
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"), staging.locked(tmp_path / "file/x"):
        pass


HOLD = """
import sys, time
from pathlib import Path
from synthcxr.writers import place
with place.locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_holder_frees_the_lock(tmp_path: Path) -> None:
    """While another process lives its lock refuses; after SIGKILL its lock file stops nobody, and goes."""
    out = tmp_path / "x"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(out)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(DataError, match="another run is writing here"), staging.locked(out):
            pass
        holder.send_signal(signal.SIGKILL)
    assert (tmp_path / "x.lock").exists()
    with staging.locked(out):
        pass
    assert list(tmp_path.iterdir()) == []


def test_links_are_followed(tmp_path: Path) -> None:
    """Through a link the dataset lands where it points, so that the swap stays on one disk."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk/x")
    assert staging.real(tmp_path / "link") == (tmp_path / "disk/x").resolve()
    shutil.rmtree(tmp_path / "disk")
