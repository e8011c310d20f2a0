"""The folder reader: class folders, a CSV file of labels, patients, and invalid input."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthcxr.data.findings import FINDINGS, format_finding_labels, to_finding_names
from synthcxr.errors import ConfigError, DataError
from synthcxr.readers import folder


def write_film(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(120, dtype=np.uint8).reshape(10, 12)).save(path)
    return path


@pytest.fixture
def class_folders(tmp_path: Path) -> Path:
    """Four films in class folders, one of them in a sub-folder, and files that are not films."""
    for name in ("NORMAL/a_1.png", "pleural thickening/b_2.JPG", "train/Edema/series/b_3.jpeg", "Edema/c_4.png"):
        write_film(tmp_path / name)
    write_film(tmp_path / ".hidden" / "x.png")
    (tmp_path / "NORMAL" / "notes.txt").write_text("not a film")
    return tmp_path


def test_reads_class_folders(class_folders: Path) -> None:
    """The closest folder named after a finding gives the label, in any case; 'normal' means no finding."""
    films = {film.image_index: film for film in folder.read_films(str(class_folders))}
    assert {name: to_finding_names(film.findings) for name, film in films.items()} == {
        "Edema/c_4.png": ("Edema",),
        "NORMAL/a_1.png": ("No Finding",),
        "pleural thickening/b_2.JPG": ("Pleural_Thickening",),
        "train/Edema/series/b_3.jpeg": ("Edema",),
    }
    film = films["Edema/c_4.png"]
    assert (film.read().shape, film.read_size(), film.source, film.view) == ((10, 12), 10, "folder", "")


def test_other_findings_of_a_class_folder_are_unknown(class_folders: Path) -> None:
    """The other 13 findings are unknown unless `others: absent` is set; normal films have no unknown findings."""
    for film in folder.read_films(str(class_folders)):
        n_unknown = sum(map(math.isnan, film.findings))
        assert n_unknown == (0 if "NORMAL" in film.image_index else 13)
    assert not any(math.isnan(sum(film.findings)) for film in folder.read_films(str(class_folders), others="absent"))


def test_film_without_a_patient_is_its_own_patient(class_folders: Path) -> None:
    """Without patient IDs, each film is its own patient, and the reader warns about the consequence."""
    lines: list[str] = []
    films = list(folder.read_films(str(class_folders), report=lines.append))
    assert len({film.patient_id for film in films}) == 4
    assert "warning: no patient ID for 4 films" in lines[0]
    assert "unknown findings in 3 films" in lines[1]


def test_patient_from_the_file_name(class_folders: Path) -> None:
    """The first group of the pattern is the patient; a file name that does not match is an error."""
    films = list(
        folder.read_films(str(class_folders), patient_pattern=r"^([a-z])_", others="absent", report=pytest.fail)
    )
    assert sorted(film.patient_id for film in films) == ["a", "b", "b", "c"]
    with pytest.raises(DataError, match=r"c_4.png: patient_pattern '\^\(\[ab\]\)_' finds no patient"):
        folder.read_films(str(class_folders), patient_pattern="^([ab])_")
    with pytest.raises(ConfigError, match=r"^patient_pattern: '\(' is not a valid regular expression"):
        folder.read_films(str(class_folders), patient_pattern="(")


def test_map_gives_other_names_of_findings(class_folders: Path) -> None:
    """A folder name that is not a finding is an error unless `map` maps it; an unknown target is an error too."""
    write_film(class_folders / "Water" / "d_5.png")
    with pytest.raises(DataError, match=r"Water: unknown finding 'Water'; known: .*`map`"):
        folder.read_films(str(class_folders))
    films = {film.image_index: film for film in folder.read_films(str(class_folders), map={"water": "effusion"})}
    assert to_finding_names(films["Water/d_5.png"].findings) == ("Effusion",)
    with pytest.raises(ConfigError, match=r"^map.water: unknown finding 'wet'"):
        folder.read_films(str(class_folders), map={"water": "wet"})


def test_csv_columns_with_usual_names(tmp_path: Path) -> None:
    """Image, label, patient and view columns are found by their usual names in any case; labels may be several."""
    for name in ("a.png", "sub/b.png", "sub/c.jpg", "sub/unlisted.png"):
        write_film(tmp_path / name)
    (tmp_path / "list.csv").write_text(
        "Filename,LABEL,patient_id,View,age,Sex\n"
        "a.png,edema|Effusion,007,pa,5,female\n"
        "b,Normal,7,AP,018M,m\n"
        "sub/c.jpg,,,unknown,,unknown\n"
        "gone.png,Mass,9,PA,5,F\n"
    )
    lines: list[str] = []
    first, second, third = folder.read_films(str(tmp_path), source="clinic", view="PA", report=lines.append)
    assert [format_finding_labels(film.findings) for film in (first, second, third)] == [
        "Effusion|Edema",
        "No Finding",
        "",
    ]
    assert [film.patient_id for film in (first, second, third)] == ["7", "7", "clinic:sub/c.jpg"]
    assert [film.view for film in (first, second, third)] == ["PA", "AP", "PA"]
    assert [(film.sex, film.age) for film in (first, second)] == [("F", 5), ("M", 1.5)]
    assert (third.sex, math.isnan(third.age)) == ("", True)
    assert [film.image_index for film in (first, second, third)] == ["a.png", "b", "sub/c.jpg"]
    assert [line.split(": ", 1)[1][:30] for line in lines] == [
        "found 3 of 4 listed films, 1 a",
        "left out 1 image file, not lis",
        "warning: no patient ID for 1 f",
        "unknown findings in 1 film (`o",
    ]


def test_csv_columns_named_by_options(tmp_path: Path) -> None:
    """The options name columns, separator and aliases; a missing column is an error that names it."""
    write_film(tmp_path / "x.png")
    (tmp_path / "t.csv").write_text('who,pic,dx,pose\n12,x.png,"water, MASS",AP\n')
    (tmp_path / "other.csv").write_text("a,b\n")
    options = {"csv": "t.csv", "image_column": "pic", "label_column": "dx", "separator": ",", "map": {"water": "edema"}}
    (film,) = folder.read_films(str(tmp_path), **options, patient_column="who", view_column="pose", others="unknown")
    assert (to_finding_names(film.findings), film.patient_id, film.view) == (("Mass", "Edema"), "12", "AP")
    assert sum(map(math.isnan, film.findings)) == 12
    with pytest.raises(DataError, match="t.csv: columns missing: name"):
        folder.read_films(str(tmp_path), **options, patient_column="name")
    with pytest.raises(DataError, match="t.csv: columns missing: Image Index, Finding Labels"):
        folder.read_films(str(tmp_path), csv="t.csv")
    with pytest.raises(DataError, match=r"several CSV files \(other.csv, t.csv\)"):
        folder.read_films(str(tmp_path))
    with pytest.raises(DataError, match="gone.csv: no such file"):
        folder.read_films(str(tmp_path), csv="gone.csv")


def test_invalid_csv_rows_are_errors(tmp_path: Path) -> None:
    """The error names the row with an unknown finding, and the row that matches two files."""
    write_film(tmp_path / "1" / "x.png")
    write_film(tmp_path / "2" / "x.png")
    (tmp_path / "t.csv").write_text("image,label\n1/x.png,Mass\n\n2/x.png,Flu\n")
    with pytest.raises(DataError, match=r"t.csv:4: unknown finding 'Flu'"):
        folder.read_films(str(tmp_path))
    (tmp_path / "t.csv").write_text("image,label\nx.png,Mass\n")
    with pytest.raises(DataError, match=r"t.csv:2: x.png matches several files"):
        folder.read_films(str(tmp_path))
    (tmp_path / "t.csv").write_text("image,label\ny.png,Mass\n")
    with pytest.raises(DataError, match="no films found: t.csv lists 1 film, none"):
        folder.read_films(str(tmp_path))


def test_missing_films_and_invalid_options_are_errors(tmp_path: Path) -> None:
    """A missing folder, an empty folder, a film outside class folders and an invalid option are one-line errors."""
    with pytest.raises(DataError, match="no such folder"):
        folder.read_films(str(tmp_path / "gone"))
    with pytest.raises(DataError, match="no films found: the folder contains no image"):
        folder.read_films(str(tmp_path))
    write_film(tmp_path / "x.png")
    write_film(tmp_path / "Mass" / "y.png")
    with pytest.raises(DataError, match=r"x.png: the film is in no class folder"):
        folder.read_films(str(tmp_path))
    with pytest.raises(ConfigError, match="^others: 'maybe'"):
        folder.read_films(str(tmp_path), others="maybe")
    with pytest.raises(ConfigError, match="^view: 'lateral'"):
        folder.read_films(str(tmp_path), view="lateral")


def test_links_are_followed_once(class_folders: Path) -> None:
    """A class folder may be a link, and a link to a parent folder does not cause a loop."""
    elsewhere = class_folders / ".store"
    write_film(elsewhere / "d_5.png")
    (class_folders / "Mass").symlink_to(elsewhere)
    (class_folders / "Edema" / "up").symlink_to(class_folders)
    assert len(list(folder.read_films(str(class_folders)))) == 5


def test_films_without_labels_are_unknown(tmp_path: Path) -> None:
    """Without a table and class folders, all findings are unknown, and the reader says so."""
    write_film(tmp_path / "x.png")
    write_film(tmp_path / "images" / "y.webp")
    lines: list[str] = []
    films = list(folder.read_films(str(tmp_path), report=lines.append))
    assert len(films) == 2 and all(math.isnan(value) for film in films for value in film.findings)
    assert "no table and no class folders: findings of 2 films unknown" in lines[0]


def test_masks_are_left_out_and_other_formats_are_read(tmp_path: Path) -> None:
    """Masks beside films or in a folder are counted; TIFF, BMP and WebP films are read."""
    for name in ("a.png", "a_mask.png", "b.tif", "c.bmp", "d.webp", "masks/b.png"):
        write_film(tmp_path / "Mass" / name)
    lines: list[str] = []
    films = list(folder.read_films(str(tmp_path), report=lines.append))
    assert [Path(film.origin).name for film in films] == ["a.png", "b.tif", "c.bmp", "d.webp"]
    assert all(film.read().shape == (10, 12) for film in films)
    assert "left out 2 masks, such as Mass/a_mask.png" in lines[0]


def test_rows_of_several_readers_are_merged(tmp_path: Path) -> None:
    """A finding is present if any row of the film says so; two patients for one film are an error."""
    write_film(tmp_path / "x.png")
    table = tmp_path / "t.csv"
    table.write_text("image_id,label,patient\nx,No finding,7\nx,Mass,7.0\nx,Edema,\n")
    lines: list[str] = []
    (film,) = folder.read_films(str(tmp_path), report=lines.append)
    assert to_finding_names(film.findings) == ("Mass", "Edema") and film.patient_id == "7"
    assert "merged the rows of 1 film with several rows" in lines[0] and "the rows of 1 film differ" in lines[0]
    table.write_text("image_id,label,patient\nx,No finding,7\nx,Mass,8\n")
    with pytest.raises(DataError, match=r"t.csv:3: x is listed for two patients"):
        folder.read_films(str(tmp_path))


def test_a_column_per_finding(tmp_path: Path) -> None:
    """Columns of 0 and 1 give the findings; blank and -1 are unknown, and so are findings without a column."""
    for name in ("x.png", "y.png"):
        write_film(tmp_path / name)
    table = tmp_path / "t.csv"
    table.write_text("image,Mass,Pleural Effusion,water,No Finding\nx.png,1,0.0,-1,0\ny.png,0,,0,1\n")
    first, second = folder.read_films(str(tmp_path), map={"water": "Edema"})
    assert {name: value for name, value in zip(FINDINGS, first.findings, strict=True) if not math.isnan(value)} == {
        "Mass": 1.0,
        "Effusion": 0.0,
    }
    assert to_finding_names(second.findings) == ("No Finding",)
    table.write_text("image,Mass\nx.png,0.5\n")
    with pytest.raises(DataError, match=r"t.csv:2: Mass is '0.5'; expected 1, 0, -1 or blank"):
        folder.read_films(str(tmp_path))


def test_json_lines(tmp_path: Path) -> None:
    """The metadata.jsonl of Hugging Face is a table, with texts or lists as labels; a broken line is an error."""
    for name in ("x.png", "y.png"):
        write_film(tmp_path / name)
    table = tmp_path / "metadata.jsonl"
    table.write_text('{"file_name": "x.png", "label": ["Mass", "Edema"]}\n{"file_name": "y.png", "label": null}\n')
    first, second = folder.read_films(str(tmp_path))
    assert to_finding_names(first.findings) == ("Mass", "Edema")
    assert all(map(math.isnan, second.findings))
    table.write_text('{"file_name": "x.png", "label": "Mass"}\n{"file_name":\n')
    with pytest.raises(DataError, match=r"metadata.jsonl:2: not readable as JSON"):
        folder.read_films(str(tmp_path))


def test_two_rows_cannot_name_one_file(tmp_path: Path) -> None:
    """Two rows whose names match one file equally are an error."""
    write_film(tmp_path / "x.png")
    (tmp_path / "t.csv").write_text("image,label\ntrain/x.png,Mass\ntest/x.png,Edema\n")
    with pytest.raises(DataError, match=r"t.csv:3: test/x.png and train/x.png match one file"):
        folder.read_films(str(tmp_path))


def test_a_header_with_mixed_separators_is_refused(tmp_path: Path) -> None:
    """A header in which a comma separates the image column and semicolons the others is one error."""
    (tmp_path / "x.png").write_bytes(b"")
    (tmp_path / "labels.csv").write_text("file,x;label;patient;view\nx.png;Edema;1;PA\n")
    with pytest.raises(DataError, match="mixes commas, semicolons or tabs"):
        folder.read_films(str(tmp_path))


@pytest.mark.parametrize("names", list(itertools.permutations(["train/x.png", "test/x.png", "x.png"])))
def test_a_file_belongs_to_the_row_that_matches_it_best(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Two rows that match it equally are no error if another row matches it better, whatever their order."""
    write_film(tmp_path / "x.png")
    (tmp_path / "t.csv").write_text("image,label\n" + "".join(f"{name},Mass\n" for name in names))
    (film,) = folder.read_films(str(tmp_path))
    assert film.image_index == "x.png"


@pytest.mark.parametrize("row", ["x.png,Mass,Edema", "x.png,Mass,,Edema"])
def test_a_row_with_text_beyond_the_last_column_is_an_error(tmp_path: Path, row: str) -> None:
    """Labels that are separated like fields are not dropped; blank fields at the end of a row do not matter."""
    write_film(tmp_path / "x.png")
    (tmp_path / "t.csv").write_text(f"image,label\nx.png,Mass,,\n{row}\n")
    with pytest.raises(DataError, match=r"t\.csv:3: [34] fields, but the header has 2; put a field that contains ','"):
        folder.read_films(str(tmp_path))


def test_a_table_with_blank_fields_at_the_end_of_rows_is_read(tmp_path: Path) -> None:
    """Spreadsheets write the separators of empty columns."""
    write_film(tmp_path / "x.png")
    (tmp_path / "t.csv").write_text("image,label\nx.png,Mass,,\n")
    (film,) = folder.read_films(str(tmp_path))
    assert to_finding_names(film.findings) == ("Mass",)


def test_the_home_folder_of_an_unknown_user_is_an_error() -> None:
    """~NAME without such a user is a folder that does not exist."""
    with pytest.raises(DataError, match=r"^~no-such-user/films: no such folder$"):
        folder.read_films("~no-such-user/films")
