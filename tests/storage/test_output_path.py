"""Outputs that cannot be written or replaced are refused before any work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.small_disk import mount_small_disk

from synthcxr.errors import ConfigError, DataError
from synthcxr.storage import output_path


def test_the_root_and_the_current_folder_are_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The root, the current folder by any name, and a folder above it are refused; others are not."""
    (tmp_path / "here/below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ConfigError, match="root folder"):
        output_path.require_replaceable_folder(Path("/"))
    for out in (Path(), Path("below/.."), Path(".."), tmp_path):
        with pytest.raises(ConfigError, match="contains the current folder"):
            output_path.require_replaceable_folder(out)
    assert output_path.require_replaceable_folder(Path("below")) == tmp_path.resolve() / "here/below"


def test_links_are_followed(tmp_path: Path) -> None:
    """A link is replaced by its target, so that renames stay on one file system; a loop of links is refused."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk/x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert output_path.require_replaceable_folder(tmp_path / "link") == (tmp_path / "disk/x").resolve()
    with pytest.raises(ConfigError, match="loop: cannot be resolved"):
        output_path.require_replaceable_folder(tmp_path / "loop")


def test_a_mount_point_is_refused(tmp_path: Path) -> None:
    """A file system that is mounted at the folder is named; a folder in it is accepted."""
    with mount_small_disk(tmp_path / "a disk", "size=64k"):
        with pytest.raises(ConfigError, match="is a mount point, .* choose a folder in it, such as --out .*a disk/new"):
            output_path.require_replaceable_folder(tmp_path / "a disk")
        output_path.require_replaceable_folder(tmp_path / "a disk/new")
        output_path.require_writable_folder(tmp_path / "a disk")


def test_a_bind_mount_of_the_same_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a folder has the device of the folder above it; the kernel's table of mounts names it."""
    (tmp_path / "a b").mkdir()
    table = tmp_path / "mountinfo"
    escaped = str((tmp_path / "a b").resolve()).replace(" ", r"\040")
    table.write_text(f"36 35 98:0 /mnt1 / rw - ext3 /dev/root rw\n37 36 98:0 /mnt2 {escaped} rw - ext3 /dev/root rw\n")
    monkeypatch.setattr(output_path, "_MOUNTS_OF_LINUX", table)
    with pytest.raises(ConfigError, match="is a mount point"):
        output_path.require_replaceable_folder(tmp_path / "a b")
    monkeypatch.setattr(output_path, "_MOUNTS_OF_LINUX", tmp_path / "absent")
    output_path.require_replaceable_folder(tmp_path / "a b")


def test_an_output_below_a_read_only_folder_or_a_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the folder that is not writable, for each kind of output."""
    (tmp_path / "file").write_text("")
    requirements = (
        output_path.require_replaceable_folder,
        output_path.require_writable_folder,
        output_path.require_writable_file,
    )
    for require in requirements:
        with pytest.raises(ConfigError, match=f"is not writable, because {tmp_path / 'file'} is not"):
            require(tmp_path / "file/a/b")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path and access(path, mode))
    for require in requirements:
        with pytest.raises(ConfigError, match=f"is not writable, because {tmp_path} is not"):
            require(tmp_path / "a/b")
    with pytest.raises(ConfigError, match="is not writable"):
        output_path.require_writable_folder(tmp_path)


def test_a_file_and_a_folder_do_not_replace_each_other(tmp_path: Path) -> None:
    """A folder is no file, a file is no folder, and a device is neither."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file: is a file"):
        output_path.require_writable_folder(tmp_path / "file")
    with pytest.raises(ConfigError, match="is a folder; give the name of a file"):
        output_path.require_writable_file(tmp_path)
    with pytest.raises(ConfigError, match="is not a file that can be replaced"):
        output_path.require_writable_file(Path(os.devnull))
    output_path.require_writable_file(tmp_path / "file")
