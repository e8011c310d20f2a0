"""Files and folders in their place whole or not at all."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from synthcxr.storage import atomic


def test_a_file_takes_its_place_at_the_end(tmp_path: Path) -> None:
    """Until the block ends the earlier content stands; then the new one does, and nothing lies beside it."""
    path = tmp_path / "deep" / "er.txt"
    atomic.text(path, "earlier")
    with atomic.file(path, lasting=True) as file:
        file.write(b"later")
        assert path.read_text() == "earlier"
    assert path.read_text() == "later"
    assert [entry.name for entry in path.parent.iterdir()] == ["er.txt"]


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    """An error within changes no file, leaves none half-written, and no folder that it had made."""
    path = tmp_path / "file"
    atomic.text(path, "earlier")
    for target in (path, tmp_path / "new" / "folder" / "file"):
        with pytest.raises(OSError, match="full"), atomic.file(target) as file:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "full")
    assert path.read_text() == "earlier"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_processes_that_share_a_file_do_not_mix(tmp_path: Path) -> None:
    """With `shared`, another process's partial file is neither written into nor taken away."""
    other = atomic.beside(tmp_path / "file", ".1.partial")
    other.write_text("another process's")
    with atomic.file(tmp_path / "file", shared=True) as file:
        file.write(b"mine")
    assert (tmp_path / "file").read_text() == "mine"
    assert other.read_text() == "another process's"


def test_a_folder_is_swapped_whole(tmp_path: Path) -> None:
    """The earlier folder stands until the block ends; a block that fails changes nothing and leaves nothing."""
    path = tmp_path / "deep" / "folder"
    for name in ("one", "two"):
        with atomic.folder(path) as partial:
            (partial / name).write_text(name)
            assert not (path / name).exists()
    assert [entry.name for entry in path.iterdir()] == ["two"]
    for target in (path, tmp_path / "new" / "folder"):
        with pytest.raises(KeyboardInterrupt), atomic.folder(target) as partial:
            (partial / "three").write_text("")
            raise KeyboardInterrupt
    assert [entry.name for entry in path.iterdir()] == ["two"]
    assert [entry.name for entry in path.parent.iterdir()] == ["folder"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["deep"]


KILLED = """
import os, signal, sys
from pathlib import Path
from synthcxr import whole
path = Path(sys.argv[1])
with whole.folder(path) as partial:
    (partial / "new").write_text("new")
    if sys.argv[2] == "within":
        os.kill(os.getpid(), signal.SIGKILL)
    path.rename(whole.beside(path, whole.REPLACED))  # the first half of the swap
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("when", ["within", "between the renames"])
def test_a_killed_process_loses_nothing(tmp_path: Path, when: str) -> None:
    """SIGKILL within the block or within the swap: the next call finds what was there, even if its block fails."""
    path = tmp_path / "folder"
    with atomic.folder(path) as partial:
        (partial / "old").write_text("old")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path), when], check=False)
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(ValueError, match="fails"), atomic.folder(path):
        raise ValueError("fails")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
    assert (path / "old").read_text() == "old"


def test_a_folder_of_the_users_beside_it_is_left_alone(tmp_path: Path) -> None:
    """A backup that somebody keeps beside the folder under a likely name survives the swap."""
    backup = tmp_path / "folder.previous"
    backup.mkdir()
    for _ in range(2):
        with atomic.folder(tmp_path / "folder"):
            pass
    assert backup.is_dir()
