"""model.json, the index of a folder of models."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthcxr.errors import ArtifactError
from synthcxr.model_files import model_folder
from synthcxr.storage import digests, json_files


def write_folder(folder: Path, **index: object) -> Path:
    """A folder with one file and its index."""
    folder.mkdir()
    (folder / "generator.onnx").write_bytes(b"model")
    files = {"generator.onnx": {"sha256": digests.sha256_bytes(b"model")}}
    json_files.write_json(folder / model_folder.INDEX_FILE, {"files": files} | index)
    return folder


def test_unchanged_files_are_verified(tmp_path: Path) -> None:
    """A folder whose files have the sha256 of the index passes, and its attributions can be read."""
    folder = write_folder(tmp_path / "onnx", attribution=["NIH Clinical Center"])
    model_folder.verify_files(folder)
    assert model_folder.read_attribution(folder) == ("NIH Clinical Center",)


def test_a_folder_without_an_index_has_no_attribution(tmp_path: Path) -> None:
    """Bare ONNX files have no index: nothing is required of them, and verifying them is an error."""
    assert model_folder.read_attribution(tmp_path) == ()
    with pytest.raises(ArtifactError, match=r"model\.json: no such file; export or pull"):
        model_folder.verify_files(tmp_path)


def test_changed_and_absent_files_are_errors(tmp_path: Path) -> None:
    """The error names the file and says what to do."""
    folder = write_folder(tmp_path / "onnx")
    (folder / "generator.onnx").write_bytes(b"other")
    with pytest.raises(ArtifactError, match=r"generator\.onnx: its sha256 differs from model\.json; export or pull"):
        model_folder.verify_files(folder)
    (folder / "generator.onnx").unlink()
    with pytest.raises(ArtifactError, match=r"generator\.onnx: is listed in model\.json but absent"):
        model_folder.verify_files(folder)


@pytest.mark.parametrize("name", ["../generator.onnx", ".."])
def test_a_path_out_of_the_folder_is_an_error(tmp_path: Path, name: str) -> None:
    """An index may list only files of its own folder."""
    folder = write_folder(tmp_path / "onnx", files={name: {"sha256": "0" * 64}})
    with pytest.raises(ArtifactError, match="is not a file name"):
        model_folder.verify_files(folder)


def test_an_index_without_files_is_an_error(tmp_path: Path) -> None:
    """JSON of another kind is not an index."""
    json_files.write_json(tmp_path / model_folder.INDEX_FILE, ["files"])
    with pytest.raises(ArtifactError, match="expected a mapping, got list"):
        model_folder.read_index(tmp_path)


def test_a_name_that_is_too_long_for_a_file_is_absent(tmp_path: Path) -> None:
    """One line, as for any other file that is listed and absent."""
    folder = write_folder(tmp_path / "onnx", files={"1" * 5000: {"sha256": "0" * 64}})
    with pytest.raises(ArtifactError, match="is listed in model.json but absent"):
        model_folder.verify_files(folder)
