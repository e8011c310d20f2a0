"""The CheXpert reader, on phantoms in the layout of the release."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from synthcxr import readers
from synthcxr.data import images
from synthcxr.data.findings import FINDINGS, to_finding_names
from synthcxr.errors import ConfigError, DataError
from synthcxr.readers import chexpert, phantom

HEADER = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,"
    "Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
FOLDER = "CheXpert-v1.0-small/train"
ROWS = (
    f"{FOLDER}/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,1.0,,,,,,,,,0.0,,,,1.0",
    f"{FOLDER}/patient00002/study1/view1_frontal.jpg,Female,87,Frontal,PA,,,-1.0,1.0,,1.0,-1.0,,-1.0,0.0,1.0,,1.0,",
    f"{FOLDER}/patient00002/study1/view2_lateral.jpg,Female,87,Lateral,,,,-1.0,1.0,,,-1.0,,-1.0,,-1.0,,1.0,",
    f"{FOLDER}/patient00003/study1/view1_frontal.jpg,Male,41,Frontal,AP,,,,,,0.0,,,,,,,,",
)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Two of three listed frontal films in the layout of the release."""
    (tmp_path / "train.csv").write_text("\n".join((HEADER, *ROWS)) + "\n")
    for index, patient in enumerate(("patient00001", "patient00002")):
        path = tmp_path / "train" / patient / "study1" / "view1_frontal.jpg"
        path.parent.mkdir(parents=True)
        path.write_bytes(images.encode_png(images.quantise(phantom.draw_film(1, index, 16))))
    return tmp_path


def get_known_findings(film: chexpert.Film) -> dict[str, float]:
    """Return the findings that are not unknown."""
    values = zip(FINDINGS, film.findings, strict=True)
    return {name: value for name, value in values if not math.isnan(value)}


def test_reads_frontal_films_with_their_findings(release: Path) -> None:
    """Frontal films have view, patient and mapped findings; -1 and blank are unknown. Films left out are reported."""
    lines: list[str] = []
    first, second = chexpert.read_films(str(release), report=lines.append)
    assert [film.image_index for film in (first, second)] == [
        "train/patient00001/study1/view1_frontal.jpg",
        "train/patient00002/study1/view1_frontal.jpg",
    ]
    assert [film.patient_id for film in (first, second)] == ["chexpert:patient00001", "chexpert:patient00002"]
    assert [film.view for film in (first, second)] == ["AP", "PA"]
    assert [(film.sex, film.age) for film in (first, second)] == [("F", 68), ("F", 87)]
    assert to_finding_names(first.findings) == ("No Finding",)
    assert get_known_findings(second) == {"Edema": 1.0, "Pneumothorax": 0.0, "Effusion": 1.0}
    assert second.read().shape == (16, 16)
    text = "\n".join(lines)
    assert (
        "Enlarged Cardiomediastinum, Lung Opacity, Lung Lesion, Pleural Other, Fracture, Support Devices are not"
        in text
    )
    assert "Infiltration, Mass, Nodule, Emphysema, Fibrosis, Pleural_Thickening, Hernia are not labelled" in text
    assert "left out 1 lateral film" in text
    assert "found 2 of 3 listed films, 1 absent" in text


@pytest.mark.parametrize(("word", "value"), [("present", 1.0), ("absent", 0.0)])
def test_options_give_the_meaning_of_uncertain_and_blank(release: Path, word: str, value: float) -> None:
    """`uncertain_as` affects only -1, and `blank_as` only blank fields."""
    _, second = chexpert.read_films(str(release), uncertain_as=word)
    assert {
        name: get_known_findings(second)[name] for name in ("Cardiomegaly", "Consolidation", "Atelectasis")
    } == dict.fromkeys(("Cardiomegaly", "Consolidation", "Atelectasis"), value)
    assert "Pneumonia" not in get_known_findings(second)
    _, second = chexpert.read_films(str(release), blank_as="absent")
    assert get_known_findings(second)["Pneumonia"] == 0.0 and "Cardiomegaly" not in get_known_findings(second)


def test_invalid_options_and_rows_are_errors(release: Path) -> None:
    """The error names the unknown word or the invalid value; a contradiction is an error of its film alone."""
    with pytest.raises(ConfigError, match="^uncertain_as: 'perhaps' is not one of unknown, present, absent"):
        chexpert.read_films(str(release), uncertain_as="perhaps")
    table = release / "train.csv"
    text = table.read_text()
    table.write_text(text.replace(",,1.0,-1.0,,-1.0,0.0,1.0", ",,2.0,-1.0,,-1.0,0.0,1.0"))
    with pytest.raises(DataError, match=r"train.csv:3: Edema is '2'"):
        chexpert.read_films(str(release))
    table.write_text(text.replace("AP,1.0,,,,,,", "AP,1.0,,1.0,,,,"))
    first, second = chexpert.read_films(str(release))
    with pytest.raises(DataError, match=r"train.csv:2: both No Finding and Cardiomegaly are labelled present"):
        first.read_size()
    assert second.read_size() == 16


@pytest.mark.parametrize("path", ["../../etc/patient00009.jpg", "/etc/patient00009.jpg"])
def test_paths_outside_the_folder_are_ignored(release: Path, path: str) -> None:
    """A table cannot name a file outside the folder."""
    secret = release.parent / "patient00009.jpg"
    secret.write_bytes(b"")
    row = ROWS[0].replace(f"{FOLDER}/patient00001/study1/view1_frontal.jpg", path)
    (release / "train.csv").write_text("\n".join((HEADER, row)) + "\n")
    with pytest.raises(DataError, match="no films found"):
        chexpert.read_films(str(release))


def test_a_name_that_is_too_long_for_a_file_is_not_found(release: Path) -> None:
    """The other films are read; a table of such names alone is one line."""
    row = ROWS[0].replace("view1_frontal", "1" * 5000)
    (release / "train.csv").write_text("\n".join((HEADER, *ROWS, row)) + "\n")
    assert list(chexpert.read_films(str(release)))
    (release / "train.csv").write_text("\n".join((HEADER, row)) + "\n")
    with pytest.raises(DataError, match="no films found"):
        list(chexpert.read_films(str(release)))


def test_folders_without_films_are_errors(tmp_path: Path) -> None:
    """A missing folder and a missing table are errors."""
    with pytest.raises(DataError, match="no such folder"):
        chexpert.read_films(str(tmp_path / "gone"))
    with pytest.raises(DataError, match="contains neither train.csv nor valid.csv"):
        chexpert.read_films(str(tmp_path))


def test_layout_is_detected(release: Path) -> None:
    """The table of the release identifies the reader."""
    assert readers.detect_reader(release).name == "chexpert"


@pytest.mark.parametrize(
    ("old", "new"),
    [("CheXpert-v1.0-small/train", "CheXpert-v1.0\\train"), ("CheXpert-v1.0-small", "/kaggle/input/CheXpert")],
)
def test_paths_of_other_machines(release: Path, old: str, new: str) -> None:
    """Backslashes and other top folders are matched by the tail; a film of another patient is not taken."""
    text = (release / "train.csv").read_text().replace(old, new)
    (release / "train.csv").write_text(text)
    assert [film.patient_id[-1] for film in chexpert.read_films(str(release))] == ["1", "2"]
    (release / "train").rename(release / "copy")
    (release / "CheXpert-small").mkdir()
    (release / "copy").rename(release / "CheXpert-small" / "train")
    assert [film.patient_id[-1] for film in chexpert.read_films(str(release))] == ["1", "2"]


def test_tables_of_other_names_and_columns(release: Path) -> None:
    """The only table with CheXpert's columns is read, also with the columns of CheXpert Plus, or without labels."""
    text = (release / "train.csv").read_text()
    (release / "train.csv").unlink()
    table = release / "df_chexpert_plus_240401.csv"
    table.write_text(
        text.replace("Path,", "path_to_image,").replace("Frontal/Lateral", "frontal_lateral").replace("AP/PA", "ap_pa")
    )
    assert [film.view for film in chexpert.read_films(str(release))] == ["AP", "PA"]
    table.write_text("Path\n" + "\n".join(row.split(",")[0] for row in ROWS) + "\n")
    lines: list[str] = []
    films = list(chexpert.read_films(str(release), report=lines.append))
    assert [get_known_findings(film) for film in films] == [{}, {}]
    assert any("the tables have no labels" in line for line in lines)


def test_the_error_shows_a_listed_and_a_present_path(release: Path) -> None:
    """If no listed film is present, the error shows one path of the table and one of the folder."""
    (release / "train.csv").write_text(f"{HEADER}\n{ROWS[3]}\n")
    with pytest.raises(DataError, match=r"it lists .*patient00003.*, and the folder contains train/patient00001/"):
        chexpert.read_films(str(release))
