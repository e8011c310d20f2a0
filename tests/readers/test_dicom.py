"""The DICOM reader: which files are films, who their patients are, what passes on of their tags."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid
from support.dicom_files import film, phantom_12_bit, save

from synthcxr import readers
from synthcxr.config.schema import SplitShares
from synthcxr.data.film_dataset import build_film_dataset
from synthcxr.data.findings import format_finding_labels, to_finding_names
from synthcxr.data.patient_split import split_patients
from synthcxr.errors import ConfigError, DataError
from synthcxr.readers import dicom


@pytest.fixture
def salt(tmp_path: Path) -> str:
    path = tmp_path / "patients.salt"
    path.write_text("0123456789abcdef0123456789abcdef\n")
    return str(path)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Three films of two patients, one of them without suffix, beside files that are no frontal chest films."""
    root = tmp_path / "archive"
    save(film(phantom_12_bit(0), PatientID="00061"), root / "A" / "one.dcm")
    save(film(phantom_12_bit(1), PatientID="61", ViewPosition="AP"), root / "A" / "1.2.840.3")
    save(film(phantom_12_bit(2), PatientID="X7", ViewPosition="", Modality="CR"), root / "B" / "three.DCM")
    for name, tags in {
        "lateral": {"ViewPosition": "LL"},
        "hand": {"BodyPartExamined": "HAND"},
        "slice": {"Modality": "CT"},
        "raw": {"PresentationIntentType": "FOR PROCESSING"},
    }.items():
        save(film(phantom_12_bit(3), **tags), root / "B" / f"{name}.dcm")
    (root / "B" / "notes.txt").write_text("no film")
    (root / "list.csv").write_text("file,label\nA/one.dcm,Edema|Effusion\n1.2.840.3,Normal\nthree,\n")
    return root


def read(root: Path, salt: str, **options: Any) -> list[dicom.Film]:
    return list(dicom.read(str(root), salt=salt, **options))


def test_frontal_chest_films(archive: Path, salt: str) -> None:
    """CR and DX films of the chest are read whatever their names; all that is left out is counted by its reason."""
    lines: list[str] = []
    one, two, three = read(archive, salt, report=lines.append)
    assert [format_finding_labels(each.findings) for each in (one, two, three)] == ["Effusion|Edema", "No Finding", ""]
    assert [each.view for each in (one, two, three)] == ["PA", "AP", ""]
    assert (one.read().shape, one.read_size(), one.source) == ((32, 32), 32, "dicom")
    assert "4 files are no frontal chest films" in lines[0]
    assert lines[0].endswith("1 for processing, 1 of HAND, 1 of modality CT, 1 of view LL")


def test_patients_are_hashed_with_the_salt(archive: Path, salt: str, tmp_path: Path) -> None:
    """One person has one name, zeros before a number or not; another salt gives other names; no number is in it."""
    one, two, three = read(archive, salt)
    assert one.patient_id == two.patient_id != three.patient_id
    other = tmp_path / "other.salt"
    other.write_text("f" * 32)
    again, moved = read(archive, salt)[0], read(archive, str(other))[0]
    assert (again.patient_id, again.image_index) == (one.patient_id, one.image_index)
    assert moved.patient_id != one.patient_id and moved.image_index != one.image_index
    assert re.fullmatch("dicom-[0-9a-f]{16}", one.patient_id)


def test_a_salt_that_hides_nothing_is_refused(archive: Path, tmp_path: Path) -> None:
    """An absent salt says how to make one, a short one how long it must be."""
    with pytest.raises(ConfigError, match=r"^salt: .*gone cannot be read .*openssl rand -hex 32"):
        read(archive, str(tmp_path / "gone"))
    (tmp_path / "short").write_text("abc")
    with pytest.raises(ConfigError, match=r"^salt: .*short holds 3 bytes"):
        read(archive, str(tmp_path / "short"))


def test_no_other_tag_is_kept(archive: Path, salt: str, tmp_path: Path) -> None:
    """In a packed dataset no name, number, institution, path or UID of the files is found, in any of its bytes."""
    films = read(archive, salt)
    sides = split_patients(films, SplitShares(train=0.5, judge=0.0, val=0.0, test=0.5), 1)
    build_film_dataset(films, out=tmp_path / "packed", resolution=32, splits=sides, on_bad="error")
    held = b"".join(path.read_bytes() for path in (tmp_path / "packed").iterdir())
    for secret in (b"Doe", b"Elsewhere", b"00061", b"X7", b"one.dcm", b"1.2.826", b"1.2.840"):
        assert secret not in held


def test_a_csv_may_name_films_by_uid(tmp_path: Path, salt: str) -> None:
    """The SOP Instance UID names a film wherever its file lies."""
    uid = generate_uid()
    save(film(phantom_12_bit(0), SOPInstanceUID=uid), tmp_path / "x" / "a.dcm")
    (tmp_path / "x" / "t.csv").write_text(f"SOPInstanceUID,label\n{uid},Mass\n")
    (one,) = read(tmp_path / "x", salt, others="unknown")
    assert to_finding_names(one.findings) == ("Mass",)
    assert sum(map(math.isnan, one.findings)) == 13


def test_without_a_patient_each_film_is_one(tmp_path: Path, salt: str) -> None:
    """The CSV may say who it is; else the film stands for itself, with a warning."""
    root = tmp_path / "x"
    for name in ("a", "b"):
        save(film(phantom_12_bit(0), PatientID=""), root / f"{name}.dcm")
    (root / "t.csv").write_text("file,label,patient\na,Mass,9\nb,Mass,\n")
    lines: list[str] = []
    a, b = read(root, salt, view="AP", report=lines.append)
    assert a.patient_id.startswith("dicom-") and b.patient_id.startswith("dicom:")
    assert any("warning: 1 films name no patient" in line for line in lines)


def test_broken_files_are_films_that_cannot_be_read(archive: Path, salt: str) -> None:
    """`on_bad` decides on them, as on a broken PNG: reading goes on, and each has its own line."""
    (archive / "A" / "one.dcm").write_bytes(b"no film at all")
    (archive / "A" / "1.2.840.3").write_bytes((archive / "A" / "1.2.840.3").read_bytes()[:300])
    one, two, three = read(archive, salt)
    for broken in (one, two):
        with pytest.raises(DataError, match="not a readable DICOM film"):
            broken.read_size()
        with pytest.raises(DataError):
            broken.read()
    assert three.read_size() == 32


def test_folders_without_films(tmp_path: Path, salt: str) -> None:
    """No folder, no CSV, no DICOM file, none that the CSV names: a line each."""
    with pytest.raises(DataError, match="no such folder"):
        read(tmp_path / "gone", salt)
    root = tmp_path / "x"
    root.mkdir()
    with pytest.raises(DataError, match="holds no CSV"):
        read(root, salt)
    (root / "t.csv").write_text("file,label\na.dcm,Mass\n")
    with pytest.raises(DataError, match="holds no DICOM file"):
        read(root, salt)
    save(film(phantom_12_bit(0)), root / "b.dcm")
    with pytest.raises(DataError, match="no films found: none of the 1 that t.csv lists"):
        read(root, salt)
    with pytest.raises(ConfigError, match="^others: 'maybe'"):
        read(root, salt, others="maybe")


def test_it_is_recognised(archive: Path) -> None:
    """A folder of DICOM files with a CSV is for this reader."""
    assert readers.recognise(archive) == "dicom"


def test_broken_files_print_nothing_of_their_own(archive: Path, salt: str) -> None:
    """In a process of its own reading broken and odd files leaves both streams empty."""
    (archive / "A" / "one.dcm").write_bytes((archive / "A" / "one.dcm").read_bytes()[:900])
    save(film(phantom_12_bit(1), ViewPosition="PA", PatientID="a" * 90), archive / "A" / "odd.dcm")
    code = (
        "import sys\nfrom synthcxr.errors import DataError\nfrom synthcxr.readers import dicom\n"
        "for film in dicom.read(sys.argv[1], salt=sys.argv[2]):\n"
        "    try:\n        film.read()\n    except DataError:\n        pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(archive), salt], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
