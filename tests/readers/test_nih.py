"""The NIH reader, on phantoms in the layout of the release, and on real films if they are available."""

from __future__ import annotations

import gzip
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from synthcxr.data import images
from synthcxr.data.findings import format_finding_labels, to_finding_names
from synthcxr.errors import DataError
from synthcxr.readers import nih, phantom

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
ROWS = (
    "00000001_000.png,Cardiomegaly,0,1,57,M,PA,2682,2749,0.143,0.143",
    "00000001_001.png,Cardiomegaly|Emphysema,1,1,58,M,AP,2894,2729,0.143,0.143",
    "00000002_000.png,No Finding,0,2,80,M,PA,2500,2048,0.171,0.171",
    "00000003_000.png,Hernia,0,3,74,F,PA,2500,2048,0.168,0.168",
)


def write_film(path: Path, index: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(images.encode_png(images.quantise(phantom.draw_film(1, index, 16))))


def write_table(root: Path, *rows: str, name: str = "Data_Entry_2017_v2020.csv", header: str = HEADER) -> None:
    (root / name).write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Three of four listed films, in two folders of the release."""
    write_table(tmp_path, *ROWS)
    write_film(tmp_path / "images_001" / "images" / "00000001_000.png")
    write_film(tmp_path / "images_001" / "images" / "00000001_001.png")
    write_film(tmp_path / "images_002" / "images" / "00000002_000.png")
    return tmp_path


def test_reads_the_release(release: Path) -> None:
    """Films are in the order of the table, with findings, view and patient, despite commas in the header."""
    films = list(nih.read_films(str(release)))
    assert [film.image_index for film in films] == ["00000001_000.png", "00000001_001.png", "00000002_000.png"]
    assert [format_finding_labels(film.findings) for film in films] == [
        "Cardiomegaly",
        "Cardiomegaly|Emphysema",
        "No Finding",
    ]
    assert [film.view for film in films] == ["PA", "AP", "PA"]
    assert [(film.sex, film.age) for film in films] == [("M", 57), ("M", 58), ("M", 80)]
    assert [film.patient_id for film in films] == ["1", "1", "2"]
    assert {film.source for film in films} == {"nih"}
    assert {film.official for film in films} == {""}


@pytest.mark.parametrize(
    "header", [HEADER, HEADER.replace("OriginalImage[Width,Height]", '"OriginalImage[Width,Height]"'), HEADER + ","]
)
def test_commas_in_the_header(release: Path, header: str) -> None:
    """Quoted names, unquoted commas, a trailing comma and a byte-order mark in the header give the same films."""
    write_table(release, *ROWS, header="\ufeff" + header)
    assert len(list(nih.read_films(str(release)))) == 3


def test_absent_and_unlisted_films_are_reported(release: Path) -> None:
    """Listed films without a file, and files that are not listed, are reported in one line each."""
    write_film(release / "images_002" / "images" / "extra.png")
    lines: list[str] = []
    assert len(list(nih.read_films(str(release), report=lines.append))) == 3
    assert [line.removeprefix(f"{release}: ") for line in lines] == [
        "found 3 of 4 listed films, 1 absent",
        "left out 1 image file, not listed in Data_Entry_2017_v2020.csv",
    ]


@pytest.mark.parametrize("folder", [".", "images"])
def test_reads_a_flat_folder(tmp_path: Path, folder: str) -> None:
    """Films beside the table or in images/ are read like the release."""
    write_table(tmp_path, *ROWS)
    write_film(tmp_path / folder / "00000003_000.png")
    (film,) = nih.read_films(str(tmp_path))
    assert to_finding_names(film.findings) == ("Hernia",)


def test_labels_csv_with_source(tmp_path: Path) -> None:
    """A labels.csv can be the table; its column Source gives the source, or the option where it is empty."""
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,Source"
    write_table(tmp_path, "a.png,Mass,0,0007,1,M,PA,here", "b.png,,0,7,1,M,,", name="labels.csv", header=header)
    write_film(tmp_path / "a.png")
    write_film(tmp_path / "b.png")
    lines: list[str] = []
    first, second = nih.read_films(str(tmp_path), source="elsewhere", report=lines.append)
    assert (first.source, second.source) == ("here", "elsewhere")
    assert first.patient_id == second.patient_id == "7"
    assert (first.view, second.view) == ("PA", "")
    assert np.isnan(second.findings).all()
    assert lines == [f"{tmp_path / 'labels.csv'}: no labels in 1 row: findings unknown"]


def test_official_lists(release: Path) -> None:
    """Each film has its list of the release; a film in both lists is an error."""
    (release / "train_val_list.txt").write_text("00000001_000.png\n00000001_001.png\n", encoding="utf-8")
    (release / "test_list.txt").write_text("00000002_000.png\n", encoding="utf-8")
    assert [film.official for film in nih.read_films(str(release))] == ["train_val", "train_val", "test"]
    (release / "test_list.txt").write_text("00000001_000.png", encoding="utf-8")
    with pytest.raises(DataError, match="00000001_000.png is in both official lists"):
        nih.read_films(str(release))


def test_read_functions_can_be_pickled(release: Path) -> None:
    """Pixels and size of a film can be read in another process."""
    film = next(nih.read_films(str(release)))
    read, read_size = pickle.loads(pickle.dumps((film.read, film.read_size)))
    assert read().shape == (16, 16)
    assert read().dtype == np.float32
    assert read_size() == 16
    assert Path(film.origin).name == film.image_index


def test_missing_films_are_errors(tmp_path: Path) -> None:
    """A missing folder, a folder without a table and a table without its films are one-line errors."""
    with pytest.raises(DataError, match="gone: no such folder"):
        nih.read_films(str(tmp_path / "gone"))
    with pytest.raises(DataError, match=r"neither Data_Entry_2017\*.csv nor labels.csv"):
        nih.read_films(str(tmp_path))
    write_table(tmp_path, *ROWS)
    with pytest.raises(DataError, match="no films found: Data_Entry_2017_v2020.csv lists 4 films, none"):
        nih.read_films(str(tmp_path))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("00000009_000.png,Covid,0,9,1,M,PA,1,1,1,1", "csv:6: unknown finding 'Covid'; known: No Finding, Atelectasis"),
        ("00000003_000.png,Mass,0,4,1,M,PA,1,1,1,1", "csv:6: 00000003_000.png is listed for two patients"),
        ("00000009_000.png,Mass", "csv:6: 2 fields, but the header has 11"),
        (",Mass,0,3,1,M,PA,1,1,1,1", "csv:6: the row names no film"),
    ],
)
def test_invalid_rows_are_errors(release: Path, row: str, message: str) -> None:
    """The error for an invalid row names the table and the line, as an editor counts it."""
    write_film(release / "images_001" / "images" / "00000004_000.png")
    write_table(release, *ROWS, row)
    with pytest.raises(DataError, match=message.replace("|", r"\|")):
        nih.read_films(str(release))


def test_film_without_a_patient_is_its_own_patient(release: Path) -> None:
    """Films with neither patient nor label are read: each is a patient, with a warning, of unknown findings."""
    for name in ("u1.png", "u2.png"):
        write_film(release / name)
    write_table(release, *ROWS, "u1.png,,,,,,,1,1,1,1", "u2.png,,,,,,PA,1,1,1,1")
    lines: list[str] = []
    films = list(nih.read_films(str(release), report=lines.append))[-2:]
    assert [film.patient_id for film in films] == ["nih:u1.png", "nih:u2.png"]
    assert [to_finding_names(film.findings) for film in films] == [(), ()]
    assert np.isnan([film.findings for film in films]).all()
    assert any("no Patient ID for 2 films: each counts as one patient" in line for line in lines)


def test_missing_columns_are_errors(release: Path) -> None:
    """The error names the missing columns."""
    write_table(release, "a,b,c", header="Image Index,labels,age")
    with pytest.raises(DataError, match="columns missing: Finding Labels, Patient ID, View Position"):
        nih.read_films(str(release))
    (release / "Data_Entry_2017_v2020.csv").write_text("")
    with pytest.raises(DataError, match="columns missing"):
        nih.read_films(str(release))
    (release / "Data_Entry_2017_v2020.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not readable as CSV"):
        nih.read_films(str(release))


def test_contradictory_labels_make_a_film_unreadable(tmp_path: Path) -> None:
    """No Finding together with a finding is an error of that film alone, so that `prepare.on_bad` decides."""
    write_table(tmp_path, "a.png,No Finding|Mass,0,1,1,M,PA,1,1,1,1", "b.png,Mass,0,2,1,M,PA,1,1,1,1")
    for name in ("a.png", "b.png"):
        write_film(tmp_path / name)
    contradictory, usable = nih.read_films(str(tmp_path))
    with pytest.raises(DataError, match=r"csv:2: contradictory labels: Mass, No Finding"):
        contradictory.read_size()
    assert np.isnan(contradictory.findings).all() and usable.read_size() == 16


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators(tmp_path: Path, separator: str) -> None:
    """A table separated by semicolons or tabs, also compressed, gives the same films."""
    text = "Image Index,Finding Labels,Patient ID,View Position\na.png,Mass|Edema,61.0,PA\nb.png,Mass|,061,PA\n"
    for name in ("a.png", "b.png"):
        write_film(tmp_path / name)
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress(text.replace(",", separator).encode()))
    first, second = nih.read_films(str(tmp_path), csv="table.csv.gz")
    assert to_finding_names(first.findings) == ("Mass", "Edema") and to_finding_names(second.findings) == ("Mass",)
    assert first.patient_id == second.patient_id == "61"


@pytest.mark.parametrize("name", ["images/a.PNG", "images/a.jpg", "sample/images/a.png"])
def test_other_suffixes_and_folders(tmp_path: Path, name: str) -> None:
    """A film is found by its name whatever its suffix, and in any folder."""
    write_film(tmp_path / "x.png")
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / "x.png").rename(tmp_path / name)
    write_table(tmp_path, "a.png,Mass,0,1,1,M,PA,1,1,1,1")
    (film,) = nih.read_films(str(tmp_path))
    assert film.image_index == "a.png" and film.read_size() == 16


@pytest.fixture
def real_films() -> Path:
    """The folder of real films in SYNTHCXR_TEST_FILMS."""
    folder = os.environ.get("SYNTHCXR_TEST_FILMS")
    if not folder:
        pytest.skip("SYNTHCXR_TEST_FILMS is not set")
    return Path(folder)


@pytest.mark.parametrize(("name", "n_films", "size"), [("nih_256", 1282, 256), ("nih_64", 855, 64)])
def test_reads_real_films(real_films: Path, name: str, n_films: int, size: int) -> None:
    """All listed real films are found; pixels have the size of the file and are in [0, 1]."""
    films = list(nih.read_films(str(real_films / name)))
    assert len(films) == n_films
    assert {film.view for film in films} == {"PA", "AP"}
    assert all(film.source.startswith("nih_") for film in films)
    pixels = films[0].read()
    assert pixels.shape == (size, size)
    assert 0 <= pixels.min() < pixels.max() <= 1


def test_reads_a_part_of_the_real_release(real_films: Path) -> None:
    """With 45 films and the full table of 112,120 rows, the 45 films are read and the others are counted."""
    lines: list[str] = []
    films = list(nih.read_films(str(real_films / "nih_release_sample"), report=lines.append))
    assert len(films) == 45
    assert {film.read_size() for film in films} == {1024}
    assert [line.split(": ")[1] for line in lines] == ["found 45 of 112,120 listed films, 112,075 absent"]
