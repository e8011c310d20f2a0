"""The MIMIC-CXR-JPG reader, on phantoms in the layout of the release."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import pytest

from synthcxr import readers
from synthcxr.data import images
from synthcxr.data.findings import to_finding_names
from synthcxr.errors import DataError
from synthcxr.readers import mimic, phantom

METADATA = """dicom_id,subject_id,study_id,ViewPosition,ViewCodeSequence_CodeMeaning
aa,10000001,50000001,PA,
bb,10000001,50000001,LATERAL,
cc,10000002,50000002,,antero-posterior
dd,10000003,50000003,AP,
"""
LABELS = "subject_id,study_id,Cardiomegaly,No Finding,Pleural Effusion\n10000001,50000001,1.0,,-1.0\n"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Four films, of which one is lateral, with the labels of one study."""
    for name, patient, study in (("aa", 1, 1), ("bb", 1, 1), ("cc", 2, 2), ("dd", 3, 3)):
        path = tmp_path / "files" / "p10" / f"p1000000{patient}" / f"s5000000{study}" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(images.encode_png(images.quantise(phantom.draw_film(1, patient, 16))))
    (tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz").write_bytes(gzip.compress(METADATA.encode()))
    (tmp_path / "mimic-cxr-2.0.0-chexpert.csv.gz").write_bytes(gzip.compress(LABELS.encode()))
    return tmp_path


def test_reads_frontal_films_with_the_labels_of_their_study(release: Path) -> None:
    """Frontal films have patient, view and labels of their study; films of other studies are unknown."""
    assert readers.detect_reader(release).name == "mimic"
    lines: list[str] = []
    first, second, third = mimic.read_films(str(release), report=lines.append)
    assert [film.view for film in (first, second, third)] == ["PA", "AP", "AP"]
    assert [film.patient_id for film in (first, second)] == ["mimic:10000001", "mimic:10000002"]
    assert to_finding_names(first.findings) == ("Cardiomegaly",) and all(map(math.isnan, second.findings))
    assert first.read_size() == 16
    assert any("left out 1 film, lateral or of an unknown view" in line for line in lines)
    assert any("the studies of 2 films have no labels" in line for line in lines)


def test_invalid_releases_are_errors(release: Path) -> None:
    """A contradiction is an error of its film alone; a folder without metadata is an error."""
    (release / "mimic-cxr-2.0.0-chexpert.csv.gz").write_bytes(
        gzip.compress(LABELS.replace("1.0,,", "1.0,1.0,").encode())
    )
    first, second, _ = mimic.read_films(str(release))
    with pytest.raises(DataError, match="both No Finding and Cardiomegaly"):
        first.read()
    assert second.read_size() == 16
    (release / "mimic-cxr-2.0.0-metadata.csv.gz").unlink()
    with pytest.raises(DataError, match="contains no mimic-cxr"):
        mimic.read_films(str(release))
