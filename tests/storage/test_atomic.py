"""Atomic writes of files and folders."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from synthcxr.storage import atomic


def test_a_file_is_replaced_when_the_block_ends(tmp_path: Path) -> None:
    """Until then the old content can be read; afterwards only the new file is there."""
    path = tmp_path / "deep" / "er.txt"
    atomic.write_text(path, "earlier")
    with atomic.open_file(path, fsync=True) as file:
        file.write(b"later")
        assert path.read_text() == "earlier"
    assert path.read_text() == "later"
    assert [entry.name for entry in path.parent.iterdir()] == ["er.txt"]


def test_a_failed_block_changes_nothing(tmp_path: Path) -> None:
    """After an error the old file is unchanged, and no partial file and no created folder remains."""
    path = tmp_path / "file"
    atomic.write_text(path, "earlier")
    for target in (path, tmp_path / "new" / "folder" / "file"):
        with pytest.raises(OSError, match="full"), atomic.open_file(target) as file:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "full")
    assert path.read_text() == "earlier"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_concurrent_processes_have_partial_files_of_their_own(tmp_path: Path) -> None:
    """With `concurrent`, the partial file of another process is neither written nor removed."""
    other = atomic.partial_path(tmp_path / "file", ".1.partial")
    other.write_text("another process's")
    with atomic.open_file(tmp_path / "file", concurrent=True) as file:
        file.write(b"mine")
    assert (tmp_path / "file").read_text() == "mine"
    assert other.read_text() == "another process's"


def test_a_folder_is_replaced_when_the_block_ends(tmp_path: Path) -> None:
    """Until then the old folder is unchanged; a failed block changes nothing and leaves no files."""
    path = tmp_path / "deep" / "folder"
    for name in ("one", "two"):
        with atomic.open_folder(path) as partial:
            (partial / name).write_text(name)
            assert not (path / name).exists()
    assert [entry.name for entry in path.iterdir()] == ["two"]
    for target in (path, tmp_path / "new" / "folder"):
        with pytest.raises(KeyboardInterrupt), atomic.open_folder(target) as partial:
            (partial / "three").write_text("")
            raise KeyboardInterrupt
    assert [entry.name for entry in path.iterdir()] == ["two"]
    assert [entry.name for entry in path.parent.iterdir()] == ["folder"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["deep"]


KILL_PROCESS = """
import os, signal, sys
from pathlib import Path
from synthcxr.storage import atomic
path = Path(sys.argv[1])
with atomic.open_folder(path) as partial:
    (partial / "new").write_text("new")
    if sys.argv[2] == "within":
        os.kill(os.getpid(), signal.SIGKILL)
    path.rename(atomic.partial_path(path, atomic.REPLACED_SUFFIX))  # the first of the two renames
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("when", ["within", "between the renames"])
def test_a_killed_process_loses_no_folder(tmp_path: Path, when: str) -> None:
    """After SIGKILL within the block or between the renames, the next call restores the old folder."""
    path = tmp_path / "folder"
    with atomic.open_folder(path) as partial:
        (partial / "old").write_text("old")
    process = subprocess.run([sys.executable, "-c", KILL_PROCESS, str(path), when], check=False)
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(ValueError, match="fails"), atomic.open_folder(path):
        raise ValueError("fails")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
    assert (path / "old").read_text() == "old"


def test_other_folders_with_similar_names_are_left_alone(tmp_path: Path) -> None:
    """A user's backup folder next to the replaced folder is not touched."""
    backup = tmp_path / "folder.previous"
    backup.mkdir()
    for _ in range(2):
        with atomic.open_folder(tmp_path / "folder"):
            pass
    assert backup.is_dir()
