"""The guard against replacing folders with files of other programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthcxr.errors import DataError
from synthcxr.storage.overwrite_guard import refuse_foreign_files, remove_partial_files


def test_absent_empty_and_own_folders_are_accepted(tmp_path: Path) -> None:
    """A folder that is absent, empty or contains only own files may be replaced."""
    refuse_foreign_files(tmp_path / "absent", ["own.json"])
    refuse_foreign_files(tmp_path, ["own.json"])
    (tmp_path / "own.json").touch()
    refuse_foreign_files(tmp_path, ["own.json", "other.json"])


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    """The error names the first file that is not an own one; a file in place of the folder is an error too."""
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(DataError, match=r"contains thesis\.docx, which synthcxr did not write"):
        refuse_foreign_files(tmp_path, ["own.json"])
    with pytest.raises(DataError, match=r"thesis\.docx: is a file"):
        refuse_foreign_files(tmp_path / "thesis.docx", [])


def test_partial_files_of_own_files_are_known(tmp_path: Path) -> None:
    """What a killed process left of an own file is accepted and removed; a partial file of another name is not."""
    for name in ("own.json", "own.json.partial", "own.json.4711.partial"):
        (tmp_path / name).touch()
    refuse_foreign_files(tmp_path, ["own.json"])
    remove_partial_files(tmp_path, ["own.json"])
    assert [path.name for path in tmp_path.iterdir()] == ["own.json"]
    for name in ("thesis.docx.partial", "own.jsonl.partial", "own.json.old.partial"):
        (tmp_path / name).touch()
        remove_partial_files(tmp_path, ["own.json"])
        with pytest.raises(DataError, match=f"contains {name}"):
            refuse_foreign_files(tmp_path, ["own.json"])
        (tmp_path / name).unlink()
