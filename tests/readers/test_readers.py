"""The table of readers, and the detection of layouts."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.paths import REPOSITORY

from synthcxr import readers
from synthcxr.cli.project import init
from synthcxr.data import images
from synthcxr.data.left_out import LeftOut, LeftOutLine, Reason
from synthcxr.errors import DataError
from synthcxr.readers import phantom


def write_film(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(images.encode_png(images.quantise(phantom.draw_film(1, 0, 16))))


def test_the_attribution_of_the_nih_is_complete() -> None:
    """The NIH's attribution contains the citation that it requires."""
    attribution = readers.READERS.load("nih").attribution
    assert "CVPR 2017" in attribution
    assert "NIH Clinical Center" in attribution


def test_every_option_is_described() -> None:
    """Each reader describes exactly the options that its function takes, and one that reads folders takes `path`."""
    for reader in readers.READERS.load_all():
        assert reader.options.keys() == reader.parameters.keys(), reader.name
        assert ("path" in reader.options) == (reader.matches is not None), reader.name
        assert reader.salt_option is None or reader.salt_option in reader.options, reader.name


def test_the_documentation_lists_the_readers_and_their_options() -> None:
    """The tables of docs/mlops.md and the choices of `init --reader` are those of the declarations."""
    page = (REPOSITORY / "docs/mlops.md").read_text(encoding="utf-8")
    layouts = [reader for reader in readers.READERS.load_all() if reader.matches is not None]
    for reader in layouts:
        assert f"\n| `{reader.name}` | {reader.films} |" in page
    for reader in readers.READERS.load_all():
        for option, text in reader.options.items():
            rows = [
                line
                for line in page.splitlines()
                if line.startswith(f"| `{option}` |") and line.endswith(f"| {text} |")
            ]
            assert len(rows) == 1, option
            assert f"`{reader.name}`" in rows[0]
    (choice,) = (option.type for option in init.params if option.name == "reader")
    assert choice.shipped == tuple(reader.name for reader in layouts)


@pytest.mark.parametrize("table", ["Data_Entry_2017.csv", "labels.csv"])
def test_detects_the_nih_layout(tmp_path: Path, table: str) -> None:
    """A table with the NIH's columns identifies the NIH reader."""
    (tmp_path / table).write_text("Image Index,Finding Labels,Patient ID,View Position\na.png,Mass,1,PA\n")
    write_film(tmp_path / "images" / "a.png")
    assert readers.detect_reader(tmp_path).name == "nih"


def test_detects_class_folders_and_label_csv(tmp_path: Path) -> None:
    """Films in class folders, or beside another CSV file of labels, identify the folder reader."""
    write_film(tmp_path / "classes" / "Edema" / "a.png")
    write_film(tmp_path / "flat" / "a.png")
    (tmp_path / "flat" / "labels.csv").write_text("file,label\na.png,Edema\n")
    assert readers.detect_reader(tmp_path / "classes").name == "folder"
    assert readers.detect_reader(tmp_path / "flat").name == "folder"


def test_unknown_layouts_are_errors(tmp_path: Path) -> None:
    """A missing folder, an empty folder and films that cannot be read are errors that list the known layouts."""
    with pytest.raises(DataError, match="gone: no such folder"):
        readers.detect_reader(tmp_path / "gone")
    with pytest.raises(DataError, match="no films found in a known layout"):
        readers.detect_reader(tmp_path)
    write_film(tmp_path / "Covid" / "a.png")
    with pytest.raises(DataError, match="reader folder: .*unknown finding 'Covid'"):
        readers.detect_reader(tmp_path)


def test_films_without_labels_are_detected(tmp_path: Path) -> None:
    """Films without a table and class folders are read by the folder reader, with unknown findings."""
    write_film(tmp_path / "a.png")
    assert readers.detect_reader(tmp_path).name == "folder"


@pytest.mark.parametrize(
    ("reader", "columns"),
    [
        ("nih", "Image Index,Finding Labels,Patient ID,View Position"),
        ("folder", "image,label,patient_id,view"),
        ("folder", "image,label,patient_id,Projection"),
        ("folder", "image,label,patient_id,Frontal/Lateral"),
    ],
)
def test_films_with_a_lateral_view_in_the_table_are_left_out(reader: str, columns: str, tmp_path: Path) -> None:
    """Lateral films are left out and counted, with the first of them; frontal films and unknown views are read."""
    views = ["PA", "AP", "Frontal", "", "Lateral", "LL", "L", "left lateral"]
    rows = [f"{index}.png,Mass,{index},{view}" for index, view in enumerate(views)]
    (tmp_path / "labels.csv").write_text("\n".join((columns, *rows, "")))
    for index in range(len(views)):
        (tmp_path / f"{index}.png").write_bytes(images.encode_png(images.quantise(phantom.draw_film(1, index, 16))))
    lines: list[str] = []
    films = list(readers.READERS.load(reader).read(str(tmp_path), report=lines.append))
    assert [film.image_index for film in films] == ["0.png", "1.png", "2.png", "3.png"]
    (line,) = [line for line in lines if isinstance(line, LeftOutLine)]
    assert line.parts == (LeftOut(Reason.NOT_FRONTAL, 4, "4.png"),)
    assert "left out 4 lateral films" in line
