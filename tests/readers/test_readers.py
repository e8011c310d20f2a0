"""The readers together: their names, what each folder is recognised as."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthcxr import readers
from synthcxr.data import images
from synthcxr.errors import DataError
from synthcxr.readers import phantom


def write_film(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(images.encode_png(images.quantise(phantom.draw_film(1, 0, 16))))


def test_every_reader_has_a_name_and_an_attribution() -> None:
    """READERS and ATTRIBUTIONS name the same readers; films of the NIH carry the citation it asks for."""
    assert set(readers.READERS) == set(readers.ATTRIBUTIONS) == {"nih", "chexpert", "dicom", "folder", "phantom"}
    assert "CVPR 2017" in readers.ATTRIBUTIONS["nih"]
    assert "NIH Clinical Center" in readers.ATTRIBUTIONS["nih"]


@pytest.mark.parametrize("table", ["Data_Entry_2017.csv", "labels.csv"])
def test_recognises_the_nih(tmp_path: Path, table: str) -> None:
    """A table with the NIH's columns makes a folder the NIH's."""
    (tmp_path / table).write_text("Image Index,Finding Labels,Patient ID,View Position\na.png,Mass,1,PA\n")
    write_film(tmp_path / "images" / "a.png")
    assert readers.detect_reader(tmp_path) == "nih"


def test_recognises_a_folder(tmp_path: Path) -> None:
    """Films in class folders, or beside another CSV of images and labels, are for the folder reader."""
    write_film(tmp_path / "classes" / "Edema" / "a.png")
    write_film(tmp_path / "flat" / "a.png")
    (tmp_path / "flat" / "labels.csv").write_text("file,label\na.png,Edema\n")
    assert readers.detect_reader(tmp_path / "classes") == "folder"
    assert readers.detect_reader(tmp_path / "flat") == "folder"


def test_recognises_neither(tmp_path: Path) -> None:
    """A missing folder, an empty one and a flat one without labels are refused with what would be known."""
    with pytest.raises(DataError, match="gone: no such folder"):
        readers.detect_reader(tmp_path / "gone")
    with pytest.raises(DataError, match="no films found in a layout that is known"):
        readers.detect_reader(tmp_path)
    write_film(tmp_path / "a.png")
    with pytest.raises(DataError, match="nor a folder per finding"):
        readers.detect_reader(tmp_path)
