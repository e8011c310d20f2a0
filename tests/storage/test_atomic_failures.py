"""What atomic writes leave behind when the last rename or the disk fails."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from support.refused_renames import refuse_renames_to
from support.small_disk import mount_small_disk

from synthcxr.errors import DataError
from synthcxr.storage import atomic

RENAME_ERRORS = [errno.EBUSY, errno.EACCES, errno.ENOSPC, errno.EXDEV]


def write_new(path: Path, request: str = "new") -> None:
    with atomic.open_folder(path, request=request) as partial:
        (partial / "new").write_text("")


@pytest.mark.parametrize("code", RENAME_ERRORS)
@pytest.mark.parametrize("exists", [False, True])
def test_a_finished_folder_stays_when_it_cannot_be_renamed(code: int, exists: bool, tmp_path: Path) -> None:
    """The error names OUT.partial; the old folder is unchanged; `finish_rename` only renames, and says of what."""
    path = tmp_path / "out"
    if exists:
        with atomic.open_folder(path) as partial:
            (partial / "old").write_text("")
    assert atomic.finish_rename(path) is None
    with refuse_renames_to(path if not exists else atomic.partial_path(path, atomic.REPLACED_SUFFIX), code):
        for attempt in (write_new, atomic.finish_rename):
            with pytest.raises(DataError, match=f"finished result is in {path}.partial: run the same command again"):
                attempt(path)
    assert (tmp_path / "out.partial/new").exists()
    assert (path / "old").exists() == exists
    assert atomic.finish_rename(path) == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]
    assert [entry.name for entry in path.iterdir()] == ["new"]
    assert atomic.finish_rename(path) is None


def test_an_interrupted_rename_restores_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between the two renames: both folders stay, and the next writer completes the rename first."""
    path = tmp_path / "out"
    with atomic.open_folder(path) as partial:
        (partial / "old").write_text("")
    rename = Path.rename

    def interrupt(source: Path, target: Path) -> Path:
        if target == path and source.name == "out.partial":
            raise KeyboardInterrupt
        return rename(source, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", interrupt)
        write_new(path)
    assert (path / "old").exists() and (tmp_path / "out.partial/new").exists()
    with pytest.raises(ZeroDivisionError), atomic.open_folder(path):
        raise ZeroDivisionError
    assert [entry.name for entry in path.iterdir()] == ["new"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_an_unfinished_folder_is_not_taken_for_a_finished_one(tmp_path: Path) -> None:
    """The remains of a killed writer, and a mark whose folder was moved away, are removed."""
    atomic.partial_path(tmp_path / "out").mkdir()
    assert atomic.finish_rename(tmp_path / "out") is None
    atomic.partial_path(tmp_path / "out", atomic.FINISHED_SUFFIX).write_text("x")
    atomic.partial_path(tmp_path / "out").rmdir()
    assert atomic.finish_rename(tmp_path / "out") is None
    write_new(tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_a_mount_point_keeps_the_finished_folder(tmp_path: Path) -> None:
    """The real error of a mount point, EBUSY, leaves OUT.partial; without the mount, the rename is completed."""
    with mount_small_disk(tmp_path / "out", "size=64k"), pytest.raises(DataError, match="cannot be replaced"):
        write_new(tmp_path / "out")
    assert atomic.finish_rename(tmp_path / "out") == "new"


def test_files_fill_a_folder_together(tmp_path: Path) -> None:
    """Files of the same name are replaced at the end, others stay; a failed block changes nothing."""
    path = tmp_path / "a/out"
    for content in ("one", "two"):
        with atomic.fill_folder(path) as partial:
            atomic.write_text(partial / "deep/file", content)
            assert content == "one" or (path / "deep/file").read_text() == "one"
        (path / "deep/other").write_text("stays")
    for target in (path, tmp_path / "new/folder"):
        with pytest.raises(KeyboardInterrupt), atomic.fill_folder(target) as partial:
            atomic.write_text(partial / "deep/file", "three")
            raise KeyboardInterrupt
    assert {entry.name: entry.read_text() for entry in (path / "deep").iterdir()} == {"file": "two", "other": "stays"}
    assert [entry.name for entry in path.iterdir()] == ["deep"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("code", RENAME_ERRORS)
def test_finished_files_stay_when_they_cannot_be_moved(code: int, tmp_path: Path) -> None:
    """The error names the folder of the finished files, from where the next call moves the rest."""
    path = tmp_path / "out"
    with refuse_renames_to(path / "b", code):
        message = r"finished files are in .*out/\.finished-by-synthcxr"
        with pytest.raises(DataError, match=message), atomic.fill_folder(path) as partial:
            for name in ("a", "b", "c"):
                (partial / name).write_text(name)
    with pytest.raises(ZeroDivisionError), atomic.fill_folder(path):
        raise ZeroDivisionError
    assert sorted(entry.name for entry in path.iterdir()) == ["a", "b", "c"]


def test_a_mount_point_can_be_filled(tmp_path: Path) -> None:
    """Nothing is renamed to the folder itself."""
    with mount_small_disk(tmp_path / "out", "size=64k"):
        with atomic.fill_folder(tmp_path / "out") as partial:
            (partial / "file").write_text("")
        assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["file"]


def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    """The error of a real full disk has the path of the file, and no partial file or folder is left."""
    with mount_small_disk(tmp_path / "disk", "size=64k"):
        path = tmp_path / "disk/a/file"
        with pytest.raises(OSError, match="No space left") as caught, atomic.open_file(path) as file:
            file.write(bytes(100_000))
        assert caught.value.filename == str(path)
        for open_output in (atomic.open_folder, atomic.fill_folder):
            with pytest.raises(OSError, match="No space left") as caught, open_output(path) as partial:
                (partial / "big").write_bytes(bytes(100_000))
            assert str(path) in caught.value.filename
        assert list((tmp_path / "disk").iterdir()) == []
