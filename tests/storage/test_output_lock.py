"""One writer for each output, in the order: other files, an output that cannot be written, another writer."""

from __future__ import annotations

import contextlib
import functools
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import filelock
import pytest

from synthcxr.errors import ConfigError, DataError
from synthcxr.storage import atomic, output_lock
from synthcxr.storage.output_lock import LOCK_SUFFIX, lock_output
from synthcxr.storage.overwrite_guard import refuse_foreign_files

HOLD_LOCK = """
import sys, time
from pathlib import Path
from synthcxr.storage.output_lock import lock_output
with lock_output(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


@contextlib.contextmanager
def locked_elsewhere(out: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of `out` until the block ends."""
    with subprocess.Popen([sys.executable, "-c", HOLD_LOCK, str(out)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "locked\n"
        yield holder
        holder.send_signal(signal.SIGKILL)


@output_lock.replaces_folder(functools.partial(refuse_foreign_files, own_names=("own",)))
def replace_stage(*, out: Path) -> list[str]:
    with atomic.open_folder(out) as partial:
        (partial / "own").write_text("")
    return sorted(path.name for path in out.parent.iterdir())


@output_lock.fills_folder(("own",))
def fill_stage(*, out: Path) -> list[str]:
    with atomic.fill_folder(out) as partial:
        (partial / "own").write_text("")
    return sorted(path.name for path in out.parent.iterdir())


@output_lock.writes_file()
def file_stage(*, out: Path | None) -> list[str]:
    if out is None:
        return []
    atomic.write_text(out, "")
    return sorted(path.name for path in out.parent.iterdir())


STAGES = (replace_stage, fill_stage, file_stage)


@pytest.mark.parametrize("stage", STAGES)
def test_a_second_writer_is_refused_at_once(stage: functools.partial[list[str]], tmp_path: Path) -> None:
    """While another process writes, the stage fails and writes nothing; a link to the output is the same output."""
    (tmp_path / "link").symlink_to(tmp_path / "out")
    with locked_elsewhere(tmp_path / "out"):
        for out in (tmp_path / "out", tmp_path / "link"):
            with pytest.raises(DataError, match=r": another process is writing here; wait for it, or choose another"):
                stage(out=out)
        assert not (tmp_path / "out").exists()
    assert f"out{LOCK_SUFFIX}" in stage(out=tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out"]


@pytest.mark.parametrize("stage", STAGES[:2])
def test_a_foreign_file_is_reported_before_the_lock(stage: functools.partial[list[str]], tmp_path: Path) -> None:
    """A locked folder with another program's file: the file is named, and stays."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.docx").write_text("mine")
    with (
        locked_elsewhere(tmp_path / "out"),
        pytest.raises(DataError, match=r"contains thesis\.docx, which synthcxr did not write"),
    ):
        stage(out=tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.docx"]


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    """After SIGKILL the lock is free, and the next writer removes the lock file."""
    with locked_elsewhere(tmp_path / "x"):
        pass
    assert (tmp_path / f"x{LOCK_SUFFIX}").exists()
    with lock_output(tmp_path / "x"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_created_parent_folders_are_removed_if_empty(tmp_path: Path) -> None:
    """Parent folders that were created for the lock stay if something was written, and are removed if not."""
    with pytest.raises(DataError, match="no room"), lock_output(tmp_path / "a/b/x"):
        raise DataError("no room")
    assert list(tmp_path.iterdir()) == []
    with lock_output(tmp_path / "a/b/x"):
        (tmp_path / "a/b/x").write_text("")
    assert (tmp_path / "a/b/x").exists()


def test_a_folder_without_locks_is_locked_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the folder beside the output is read-only, the lock file is in the folder for temporary files."""
    acquire = filelock.FileLock.acquire

    def refuse_beside(lock: filelock.FileLock) -> object:
        if Path(lock.lock_file).parent == tmp_path:
            raise PermissionError(13, "Permission denied", lock.lock_file)
        return acquire(lock)

    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "tmp"))
    monkeypatch.setattr(filelock.FileLock, "acquire", refuse_beside)
    with lock_output(tmp_path / "out"):
        assert len(list((tmp_path / "tmp").iterdir())) == 1
        with pytest.raises(DataError, match="another process is writing here"), lock_output(tmp_path / "out"):
            pass
        with lock_output(tmp_path / "other"):
            pass
    assert list((tmp_path / "tmp").iterdir()) == []


def test_only_the_first_process_of_torchrun_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other processes of one training do not refuse each other."""
    with lock_output(tmp_path / "out"):
        monkeypatch.setenv("RANK", "1")
        with lock_output(tmp_path / "out"):
            pass
        monkeypatch.setenv("RANK", "0")
        with pytest.raises(DataError, match="another process"), lock_output(tmp_path / "out"):
            pass


def test_impossible_outputs_are_refused_and_optional_ones_skipped(tmp_path: Path) -> None:
    """The root cannot be written; an optional output that is not requested is neither checked nor locked."""
    for stage in STAGES:
        with pytest.raises((ConfigError, DataError)):
            stage(out=Path("/"))
    assert file_stage(out=None) == []
