"""The CheXpert reader, on a small tree of the release's shape made of phantoms."""

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
    """Two of three listed frontal films, as the release lays them."""
    (tmp_path / "train.csv").write_text("\n".join((HEADER, *ROWS)) + "\n")
    for index, patient in enumerate(("patient00001", "patient00002")):
        path = tmp_path / "train" / patient / "study1" / "view1_frontal.jpg"
        path.parent.mkdir(parents=True)
        path.write_bytes(images.encode_png(images.quantise(phantom.draw(1, index, 16))))
    return tmp_path


def values(film: chexpert.Film) -> dict[str, float]:
    """The findings that are known."""
    held = zip(FINDINGS, film.findings, strict=True)
    return {name: value for name, value in held if not math.isnan(value)}


def test_frontal_films_with_their_findings(release: Path) -> None:
    """Frontal films that are there come with view, patient and mapped findings; -1 and blank are unknown."""
    lines: list[str] = []
    one, two = chexpert.read(str(release), report=lines.append)
    assert [film.image_index for film in (one, two)] == [
        "train/patient00001/study1/view1_frontal.jpg",
        "train/patient00002/study1/view1_frontal.jpg",
    ]
    assert [film.patient_id for film in (one, two)] == ["chexpert:patient00001", "chexpert:patient00002"]
    assert [film.view for film in (one, two)] == ["AP", "PA"]
    assert to_finding_names(one.findings) == ("No Finding",)
    assert values(two) == {"Edema": 1.0, "Pneumothorax": 0.0, "Effusion": 1.0}
    assert two.read().shape == (16, 16)
    text = "\n".join(lines)
    assert "Enlarged Cardiomediastinum, Lung Opacity, Lung Lesion, Pleural Other, Fracture, Support Devices are" in text
    assert "Infiltration, Mass, Nodule, Emphysema, Fibrosis, Pleural_Thickening, Hernia are not labelled" in text
    assert "1 lateral films are left out" in text
    assert "1 of 3 listed films are absent, 2 found" in text


@pytest.mark.parametrize(("word", "value"), [("present", 1.0), ("absent", 0.0)])
def test_what_is_uncertain_means_what_is_said(release: Path, word: str, value: float) -> None:
    """`uncertain_as` decides on -1 alone, `blank_as` on what is not mentioned."""
    _, two = chexpert.read(str(release), uncertain_as=word)
    assert {name: values(two)[name] for name in ("Cardiomegaly", "Consolidation", "Atelectasis")} == dict.fromkeys(
        ("Cardiomegaly", "Consolidation", "Atelectasis"), value
    )
    assert "Pneumonia" not in values(two)
    _, two = chexpert.read(str(release), blank_as="absent")
    assert values(two)["Pneumonia"] == 0.0 and "Cardiomegaly" not in values(two)


def test_options_and_rows_that_cannot_be(release: Path) -> None:
    """A word that means nothing, a value that is no label and a contradiction are refused by name."""
    with pytest.raises(ConfigError, match="^uncertain_as: 'perhaps' is none of unknown, present, absent"):
        chexpert.read(str(release), uncertain_as="perhaps")
    table = release / "train.csv"
    whole = table.read_text()
    table.write_text(whole.replace(",,1.0,-1.0,,-1.0,0.0,1.0", ",,2.0,-1.0,,-1.0,0.0,1.0"))
    with pytest.raises(DataError, match=r"train.csv:3: Edema is '2'"):
        chexpert.read(str(release))
    table.write_text(whole.replace("AP,1.0,,,,,,", "AP,1.0,,1.0,,,,"))
    with pytest.raises(DataError, match=r"train.csv:2: No Finding and Cardiomegaly at once"):
        chexpert.read(str(release))


@pytest.mark.parametrize("path", ["../../etc/patient00009.jpg", "/etc/patient00009.jpg"])
def test_a_path_leads_nowhere_else(release: Path, path: str) -> None:
    """A table that points out of the folder finds nothing there."""
    secret = release.parent / "patient00009.jpg"
    secret.write_bytes(b"")
    row = ROWS[0].replace(f"{FOLDER}/patient00001/study1/view1_frontal.jpg", path)
    (release / "train.csv").write_text("\n".join((HEADER, row)) + "\n")
    with pytest.raises(DataError, match="no films found"):
        chexpert.read(str(release))


def test_folders_that_hold_none(tmp_path: Path) -> None:
    """No folder and no table are a line each."""
    with pytest.raises(DataError, match="no such folder"):
        chexpert.read(str(tmp_path / "gone"))
    with pytest.raises(DataError, match="neither train.csv nor valid.csv"):
        chexpert.read(str(tmp_path))


def test_it_is_recognised(release: Path) -> None:
    """The release's table names the reader."""
    assert readers.recognise(release) == "chexpert"
