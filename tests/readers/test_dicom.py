"""The DICOM reader: which files are films, how patients are named, and which tags are used."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid
from support.dicom_files import build_film, draw_12_bit_phantom, write_film

from synthcxr import readers
from synthcxr.config.schema import SplitShares
from synthcxr.data.film_dataset import build_film_dataset
from synthcxr.data.findings import format_finding_labels, to_finding_names
from synthcxr.data.patient_split import split_patients
from synthcxr.errors import ConfigError, DataError
from synthcxr.readers import dicom, dicom_headers


@pytest.fixture
def salt(tmp_path: Path) -> str:
    path = tmp_path / "patients.salt"
    path.write_text("0123456789abcdef0123456789abcdef\n")
    return str(path)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Three films of two patients, one file without suffix, and files that are not frontal chest films."""
    root = tmp_path / "archive"
    write_film(build_film(draw_12_bit_phantom(0), PatientID="00061"), root / "A" / "one.dcm")
    write_film(
        build_film(draw_12_bit_phantom(1), PatientID="61", ViewPosition="AP", PatientSex="F", PatientAge="063Y"),
        root / "A" / "1.2.840.3",
    )
    write_film(
        build_film(draw_12_bit_phantom(2), PatientID="X7", ViewPosition="", Modality="CR"), root / "B" / "three.DCM"
    )
    for name, tags in {
        "lateral": {"ViewPosition": "LL"},
        "hand": {"BodyPartExamined": "HAND"},
        "slice": {"Modality": "CT"},
        "raw": {"PresentationIntentType": "FOR PROCESSING"},
    }.items():
        write_film(build_film(draw_12_bit_phantom(3), **tags), root / "B" / f"{name}.dcm")
    (root / "B" / "notes.txt").write_text("no film")
    (root / "list.csv").write_text("file,label\nA/one.dcm,Edema|Effusion\n1.2.840.3,Normal\nthree,\n")
    return root


def read(root: Path, salt: str, **options: Any) -> list[dicom.Film]:
    return list(dicom.read_films(str(root), salt=salt, **options))


def test_reads_frontal_chest_films(archive: Path, salt: str) -> None:
    """CR and DX films of the chest are read whatever their file names; the other files are counted by reason."""
    lines: list[str] = []
    first, second, third = read(archive, salt, report=lines.append)
    assert [format_finding_labels(film.findings) for film in (first, second, third)] == [
        "Effusion|Edema",
        "No Finding",
        "",
    ]
    assert [film.view for film in (first, second, third)] == ["PA", "AP", ""]
    assert (first.sex, math.isnan(first.age), second.sex, second.age) == ("", True, "F", 63)
    assert (first.read().shape, first.read_size(), first.source) == ((32, 32), 32, "dicom")
    assert "left out 4 files, not frontal chest films" in lines[0]
    assert lines[0].endswith("1 for processing, 1 of HAND, 1 of modality CT, 1 of view LL")


def test_patients_are_hashed_with_the_salt(archive: Path, salt: str, tmp_path: Path) -> None:
    """Leading zeros do not change a patient; another salt gives other names; the names do not contain the number."""
    first, second, third = read(archive, salt)
    assert first.patient_id == second.patient_id != third.patient_id
    other = tmp_path / "other.salt"
    other.write_text("f" * 32)
    same_salt, other_salt = read(archive, salt)[0], read(archive, str(other))[0]
    assert (same_salt.patient_id, same_salt.image_index) == (first.patient_id, first.image_index)
    assert other_salt.patient_id != first.patient_id and other_salt.image_index != first.image_index
    assert re.fullmatch("dicom-[0-9a-f]{16}", first.patient_id)


def test_missing_and_short_salts_are_errors(archive: Path, tmp_path: Path) -> None:
    """The error says how to create a missing salt, and the length that a short one needs."""
    with pytest.raises(ConfigError, match=r"^salt: .*gone: no such file.*openssl rand -hex 32"):
        read(archive, str(tmp_path / "gone"))
    (tmp_path / "short").write_text("abc")
    with pytest.raises(ConfigError, match=r"^salt: .*short contains 3 bytes, expected at least 16"):
        read(archive, str(tmp_path / "short"))


def test_no_other_tag_reaches_the_packed_films(archive: Path, salt: str, tmp_path: Path) -> None:
    """No byte of a packed dataset contains a name, number, institution, path or UID of the files."""
    films = read(archive, salt)
    splits = split_patients(films, SplitShares(train=0.5, judge=0.0, val=0.0, test=0.5), 1)
    build_film_dataset(films, out=tmp_path / "packed", resolution=32, splits=splits, on_bad="error")
    packed = b"".join(path.read_bytes() for path in (tmp_path / "packed").iterdir())
    for secret in (b"Doe", b"Elsewhere", b"00061", b"X7", b"one.dcm", b"1.2.826", b"1.2.840"):
        assert secret not in packed


def test_csv_can_name_films_by_uid(tmp_path: Path, salt: str) -> None:
    """The SOP Instance UID identifies a film whatever its path."""
    uid = generate_uid()
    write_film(build_film(draw_12_bit_phantom(0), SOPInstanceUID=uid), tmp_path / "x" / "a.dcm")
    (tmp_path / "x" / "t.csv").write_text(f"SOPInstanceUID,label\n{uid},Mass\n")
    (only,) = read(tmp_path / "x", salt, others="unknown")
    assert to_finding_names(only.findings) == ("Mass",)
    assert sum(map(math.isnan, only.findings)) == 13


def test_film_without_a_patient_is_its_own_patient(tmp_path: Path, salt: str) -> None:
    """The CSV file may name the patient; otherwise the film is its own patient, with a warning."""
    root = tmp_path / "x"
    for name in ("a", "b"):
        write_film(build_film(draw_12_bit_phantom(0), PatientID=""), root / f"{name}.dcm")
    (root / "t.csv").write_text("file,label,patient\na,Mass,9\nb,Mass,\n")
    lines: list[str] = []
    a, b = read(root, salt, view="AP", report=lines.append)
    assert a.patient_id.startswith("dicom-") and b.patient_id.startswith("dicom:")
    assert any("warning: no patient ID for 1 film: each" in line for line in lines)


def test_broken_files_become_unreadable_films(archive: Path, salt: str) -> None:
    """Reading continues; each broken film raises an error when it is read, as a broken PNG does, for `on_bad`."""
    (archive / "A" / "one.dcm").write_bytes(b"no film at all")
    (archive / "A" / "1.2.840.3").write_bytes((archive / "A" / "1.2.840.3").read_bytes()[:300])
    first, second, third = read(archive, salt)
    for broken in (first, second):
        with pytest.raises(DataError, match="not a readable DICOM film"):
            broken.read_size()
        with pytest.raises(DataError):
            broken.read()
    assert third.read_size() == 32


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_not_opened(archive: Path) -> None:
    """A pipe is left alone, or an unreadable film if it has the name of one; nothing waits for its writer."""
    os.mkfifo(archive / "control")
    os.mkfifo(archive / "x.dcm")
    header = dicom_headers.read_headers(archive, None, lambda line: None)[archive / "x.dcm"]
    assert header.error == f"{archive / 'x.dcm'}: not a readable DICOM film (no DICM at byte 128)"


def test_folders_without_films_are_errors(tmp_path: Path, salt: str) -> None:
    """A missing folder or DICOM file, and a CSV file that names none of them, are errors."""
    with pytest.raises(DataError, match="no such folder"):
        read(tmp_path / "gone", salt)
    root = tmp_path / "x"
    root.mkdir()
    with pytest.raises(DataError, match="contains no DICOM file"):
        read(root, salt)
    (root / "t.csv").write_text("file,label\na.dcm,Mass\n")
    with pytest.raises(DataError, match="contains no DICOM file"):
        read(root, salt)
    write_film(build_film(draw_12_bit_phantom(0)), root / "b.dcm")
    with pytest.raises(DataError, match="no films found: t.csv lists 1 film, none"):
        read(root, salt)
    with pytest.raises(ConfigError, match="^others: 'maybe'"):
        read(root, salt, others="maybe")


def test_layout_is_detected(archive: Path) -> None:
    """A folder of DICOM files with a CSV file identifies the reader."""
    assert readers.detect_reader(archive).name == "dicom"


def test_reading_broken_files_prints_nothing(archive: Path, salt: str) -> None:
    """Reading broken and unusual files in a new process prints nothing on stdout and stderr."""
    (archive / "A" / "one.dcm").write_bytes((archive / "A" / "one.dcm").read_bytes()[:900])
    write_film(build_film(draw_12_bit_phantom(1), ViewPosition="PA", PatientID="a" * 90), archive / "A" / "odd.dcm")
    code = (
        "import sys\nfrom synthcxr.errors import DataError\nfrom synthcxr.readers import dicom\n"
        "for film in dicom.read_films(sys.argv[1], salt=sys.argv[2]):\n"
        "    try:\n        film.read()\n    except DataError:\n        pass\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, str(archive), salt], capture_output=True, text=True, check=False
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


def test_without_a_table_the_findings_are_unknown(tmp_path: Path, salt: str) -> None:
    """Films without a CSV file are read with unknown findings, and the reader says so."""
    for name in ("a", "b"):
        write_film(build_film(draw_12_bit_phantom(0), PatientID=f"{name}1"), tmp_path / "x" / f"{name}.dcm")
    lines: list[str] = []
    films = read(tmp_path / "x", salt, report=lines.append)
    assert len(films) == 2 and all(math.isnan(value) for film in films for value in film.findings)
    assert "no table of labels: the findings of 2 films are unknown" in lines[0]
    assert readers.detect_reader(tmp_path / "x").name == "dicom"


def build_code(value: str, meaning: str) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodeMeaning = value, meaning
    return Sequence([item])


@pytest.mark.parametrize(
    ("tags", "view"),
    [
        ({"ViewPosition": "PA ERECT"}, "PA"),
        ({"ViewPosition": "AP SUPINE"}, "AP"),
        ({"ViewPosition": "POSTERO_ANTERIOR"}, "PA"),
        ({"ViewPosition": "", "ViewCodeSequence": build_code("R-10206", "antero-posterior")}, "AP"),
        ({"ViewPosition": "", "ViewCodeSequence": build_code("x", "postero-anterior")}, "PA"),
        ({"ViewPosition": "", "SeriesDescription": "Thorax p.a. / PA"}, "PA"),
        ({"ViewPosition": "", "StudyDescription": "CHEST PA AND LAT"}, ""),
        ({"ViewPosition": "", "ViewCodeSequence": build_code("R-10236", "left lateral")}, None),
        ({"ViewPosition": "", "SeriesDescription": "CHEST LATERAL"}, None),
        ({"ViewPosition": "", "PatientOrientation": "A\\F"}, None),
        ({"ViewPosition": "LL"}, None),
        ({"Modality": "DR"}, "PA"),
        ({"Modality": "CT"}, None),
    ],
)
def test_views_and_modalities(tmp_path: Path, salt: str, tags: dict[str, Any], view: str | None) -> None:
    """The view is read from its tag, code, orientation or description; laterals and other modalities are left out."""
    write_film(build_film(draw_12_bit_phantom(0), **tags), tmp_path / "x" / "a.dcm")
    write_film(build_film(draw_12_bit_phantom(1), PatientID="other"), tmp_path / "x" / "b.dcm")
    films = {Path(film.origin).name: film for film in read(tmp_path / "x", salt)}
    assert (films["a.dcm"].view if "a.dcm" in films else None) == view


def test_modalities_can_be_chosen(tmp_path: Path, salt: str) -> None:
    """The option `modalities` replaces the modalities that are read."""
    for name in ("DX", "OT"):
        write_film(build_film(draw_12_bit_phantom(0), Modality=name, PatientID=name), tmp_path / "x" / name)
    assert [Path(film.origin).name for film in read(tmp_path / "x", salt, modalities=["ot"])] == ["OT"]


def test_placeholder_patients_are_errors_with_a_way_out(tmp_path: Path, salt: str) -> None:
    """If all Patient IDs are placeholders, the error asks for a patient column, which then precedes the files."""
    for index, patient in enumerate(("ANONYMOUS", "0", "ANONYMOUS")):
        write_film(build_film(draw_12_bit_phantom(index), PatientID=patient), tmp_path / "x" / f"{index}.dcm")
    table = tmp_path / "x" / "t.csv"
    table.write_text("file,label\n0,Mass\n1,Mass\n2,Mass\n")
    with pytest.raises(DataError, match=r"Patient ID of all 3 films is a placeholder .* add a column patient_id"):
        read(tmp_path / "x", salt)
    table.write_text("file,label,patient_id\n0,Mass,7\n1,Mass,7.0\n2,Mass,8\n")
    a, b, c = read(tmp_path / "x", salt)
    assert a.patient_id == b.patient_id != c.patient_id


def test_changes_of_the_display_are_reported(tmp_path: Path, salt: str) -> None:
    """Turned and reduced films, ignored windows, overstated bits and burned-in annotations are counted."""
    for index, tags in enumerate(
        (
            {"PatientOrientation": "R\\F"},
            {"PixelAspectRatio": ["2", "1"]},
            {"WindowCenter": "1", "WindowWidth": "0"},
            {"bits": 16},
            {"BurnedInAnnotation": "YES"},
        )
    ):
        write_film(build_film(draw_12_bit_phantom(index), PatientID=f"P{index}", **tags), tmp_path / "x" / f"{index}")
    lines: list[str] = []
    films = read(tmp_path / "x", salt, report=lines.append)
    text = "\n".join(lines)
    for phrase in ("turned", "not square", "window width of 0", "16 bits and no window", "burned-in annotations"):
        assert "warning: 1 films" in text and phrase in text
    assert sorted(film.read_size() for film in films) == sorted(min(film.read().shape) for film in films)


def test_rows_of_one_film_are_merged(tmp_path: Path, salt: str) -> None:
    """A row per box gives one film with the union of its rows."""
    write_film(build_film(draw_12_bit_phantom(0)), tmp_path / "x" / "a.dcm")
    (tmp_path / "x" / "t.csv").write_text("patientId,x,Target\na,1,1\na,2,0\n")
    (film,) = read(
        tmp_path / "x", salt, image_column="patientId", label_column="Target", map={"1": "Mass", "0": "No Finding"}
    )
    assert to_finding_names(film.findings) == ("Mass",)
