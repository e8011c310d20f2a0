"""The folder reader: classes as folders, a CSV of labels, where patients come from, what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthcxr.data.findings import format_finding_labels, to_finding_names
from synthcxr.errors import ConfigError, DataError
from synthcxr.readers import folder


def write_film(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(120, dtype=np.uint8).reshape(10, 12)).save(path)
    return path


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Four films in folders per class, one of them deeper, beside files that are no films."""
    for name in ("NORMAL/a_1.png", "pleural thickening/b_2.JPG", "train/Edema/series/b_3.jpeg", "Edema/c_4.png"):
        write_film(tmp_path / name)
    write_film(tmp_path / ".hidden" / "x.png")
    (tmp_path / "NORMAL" / "notes.txt").write_text("no film")
    return tmp_path


def test_folder_per_class(classes: Path) -> None:
    """The nearest folder named for a finding gives the class, in any case; 'normal' has none of the 14."""
    films = {film.image_index: film for film in folder.read_films(str(classes))}
    assert {name: to_finding_names(film.findings) for name, film in films.items()} == {
        "Edema/c_4.png": ("Edema",),
        "NORMAL/a_1.png": ("No Finding",),
        "pleural thickening/b_2.JPG": ("Pleural_Thickening",),
        "train/Edema/series/b_3.jpeg": ("Edema",),
    }
    film = films["Edema/c_4.png"]
    assert (film.read().shape, film.read_size(), film.source, film.view) == ((10, 12), 10, "folder", "")


def test_a_class_says_nothing_of_other_findings(classes: Path) -> None:
    """A film in a class folder leaves the other 13 unknown unless they are said to be absent; normal ones do not."""
    for film in folder.read_films(str(classes)):
        n_unknown = sum(map(math.isnan, film.findings))
        assert n_unknown == (0 if "NORMAL" in film.image_index else 13)
    assert not any(math.isnan(sum(film.findings)) for film in folder.read_films(str(classes), others="absent"))


def test_each_film_its_own_patient_with_a_warning(classes: Path) -> None:
    """Without a patient each film is one of its own, and the reader says what that risks."""
    lines: list[str] = []
    films = list(folder.read_films(str(classes), report=lines.append))
    assert len({film.patient_id for film in films}) == 4
    assert "warning: 4 films name no patient" in lines[0]
    assert "3 films leave findings unknown" in lines[1]


def test_patient_from_the_file_name(classes: Path) -> None:
    """The pattern's first group names the patient; a name it does not fit is refused."""
    films = list(folder.read_films(str(classes), patient_pattern=r"^([a-z])_", others="absent", report=pytest.fail))
    assert sorted(film.patient_id for film in films) == ["a", "b", "b", "c"]
    with pytest.raises(DataError, match=r"c_4.png: patient_pattern '\^\(\[ab\]\)_' finds no patient"):
        folder.read_films(str(classes), patient_pattern="^([ab])_")
    with pytest.raises(ConfigError, match=r"^patient_pattern: '\(' is no regular expression"):
        folder.read_films(str(classes), patient_pattern="(")


def test_map_sends_other_names_to_findings(classes: Path) -> None:
    """A class that is no finding is refused by name until `map` names its finding; a wrong target is refused too."""
    write_film(classes / "Water" / "d_5.png")
    with pytest.raises(DataError, match=r"Water: unknown finding 'Water'; known: .*`map`"):
        folder.read_films(str(classes))
    found = {film.image_index: film for film in folder.read_films(str(classes), map={"water": "effusion"})}
    assert to_finding_names(found["Water/d_5.png"].findings) == ("Effusion",)
    with pytest.raises(ConfigError, match=r"^map.water: unknown finding 'wet'"):
        folder.read_films(str(classes), map={"water": "wet"})


def test_csv_with_usual_columns(tmp_path: Path) -> None:
    """Image, labels, patient and view columns are known by their usual names in any case; labels may be several."""
    for name in ("a.png", "sub/b.png", "sub/c.jpg", "sub/unlisted.png"):
        write_film(tmp_path / name)
    (tmp_path / "list.csv").write_text(
        "Filename,LABEL,patient_id,View,age\n"
        "a.png,edema|Effusion,007,pa,5\n"
        "b,Normal,7,AP,5\n"
        "sub/c.jpg,,,lateral,5\n"
        "gone.png,Mass,9,PA,5\n"
    )
    lines: list[str] = []
    a, b, c = folder.read_films(str(tmp_path), source="clinic", view="PA", report=lines.append)
    assert [format_finding_labels(film.findings) for film in (a, b, c)] == ["Effusion|Edema", "No Finding", ""]
    assert [film.patient_id for film in (a, b, c)] == ["7", "7", "clinic:sub/c.jpg"]
    assert [film.view for film in (a, b, c)] == ["PA", "AP", "PA"]
    assert [film.image_index for film in (a, b, c)] == ["a.png", "b", "sub/c.jpg"]
    assert [line.split(": ", 1)[1][:30] for line in lines] == [
        "1 of 4 listed films are absent",
        "1 image files are not listed i",
        "warning: 1 films name no patie",
        "1 films leave findings unknown",
    ]


def test_csv_with_given_columns(tmp_path: Path) -> None:
    """Given columns, separator and map are used; given columns that are not there are named."""
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


def test_csv_rows_that_cannot_be_right(tmp_path: Path) -> None:
    """An unknown finding names its row; a name that fits two files is refused."""
    write_film(tmp_path / "1" / "x.png")
    write_film(tmp_path / "2" / "x.png")
    (tmp_path / "t.csv").write_text("image,label\n1/x.png,Mass\n\n2/x.png,Flu\n")
    with pytest.raises(DataError, match=r"t.csv:4: unknown finding 'Flu'"):
        folder.read_films(str(tmp_path))
    (tmp_path / "t.csv").write_text("image,label\nx.png,Mass\n")
    with pytest.raises(DataError, match=r"t.csv:2: x.png fits several files"):
        folder.read_films(str(tmp_path))
    (tmp_path / "t.csv").write_text("image,label\ny.png,Mass\n")
    with pytest.raises(DataError, match="no films found: none of the 1 that t.csv lists"):
        folder.read_films(str(tmp_path))


def test_no_films(tmp_path: Path) -> None:
    """A missing folder, an empty one and a film in no class are each one plain line; so are options out of range."""
    with pytest.raises(DataError, match="no such folder"):
        folder.read_films(str(tmp_path / "gone"))
    with pytest.raises(DataError, match="no films found: it holds no PNG or JPEG"):
        folder.read_films(str(tmp_path))
    write_film(tmp_path / "x.png")
    with pytest.raises(DataError, match=r"x.png: lies in no class folder"):
        folder.read_films(str(tmp_path))
    with pytest.raises(ConfigError, match="^others: 'maybe'"):
        folder.read_films(str(tmp_path), others="maybe")
    with pytest.raises(ConfigError, match="^view: 'lateral'"):
        folder.read_films(str(tmp_path), view="lateral")


def test_links_are_followed_once(classes: Path) -> None:
    """A class folder may be a link, and a link that leads back up ends nothing in a loop."""
    elsewhere = classes / ".store"
    write_film(elsewhere / "d_5.png")
    (classes / "Mass").symlink_to(elsewhere)
    (classes / "Edema" / "up").symlink_to(classes)
    assert len(list(folder.read_films(str(classes)))) == 5
