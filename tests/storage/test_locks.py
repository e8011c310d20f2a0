"""Locks between processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from synthcxr.storage.locks import LockedError, file_lock

HOLD_LOCK = """
import sys, time
from pathlib import Path
from synthcxr.storage.locks import file_lock

with file_lock(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def hold_lock(path: Path, *, seconds: float) -> subprocess.Popen[str]:
    """A process that holds the lock on `path`, started and waited for until it does."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(path), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


def test_the_lock_file_exists_only_while_the_lock_is_held(tmp_path: Path) -> None:
    """The file is created on entry, removed on exit, and the lock can be taken again."""
    path = tmp_path / "x.lock"
    for _ in range(2):
        with file_lock(path):
            assert path.exists()
        assert not path.exists()


def test_a_held_lock_is_refused_and_a_killed_process_releases_it(tmp_path: Path) -> None:
    """While another process holds the lock there is an error; after it is killed the lock is free."""
    path = tmp_path / "x.lock"
    with hold_lock(path, seconds=60) as process:
        with pytest.raises(LockedError, match=r"x\.lock: locked by another process"), file_lock(path):
            pass
        process.kill()
    with file_lock(path):
        pass


def test_a_held_lock_is_waited_for(tmp_path: Path) -> None:
    """A lock that is released within `wait_s` seconds is taken, although its file was removed meanwhile."""
    path = tmp_path / "x.lock"
    with hold_lock(path, seconds=0.5) as process, file_lock(path, wait_s=30):
        assert process.wait(timeout=30) == 0
        assert path.exists()
        with pytest.raises(LockedError), file_lock(path):
            pass


def test_the_lock_is_released_after_an_error(tmp_path: Path) -> None:
    """An exception in the block passes on, and leaves neither lock nor file."""
    path = tmp_path / "x.lock"
    with pytest.raises(ZeroDivisionError), file_lock(path):
        raise ZeroDivisionError
    assert not path.exists()
