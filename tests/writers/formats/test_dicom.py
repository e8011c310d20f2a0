"""A DICOM file of ours: what it says, to whom it belongs (nobody), and what others read in it."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthcxr.data import image_reader, images
from synthcxr.data.records import Record
from synthcxr.errors import DataError
from synthcxr.storage import digests
from synthcxr.writers.sidecars import data_entry_csv

pydicom = pytest.importorskip("pydicom", reason="no pydicom here: pip install 'synthcxr[dicom]'")
dicom = pytest.importorskip("synthcxr.writers.formats.dicom")

GENERATOR = "ab" * 32
PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
SHOWN = Record("", 5, 7, "Edema", ("Edema", "Mass"), tuple(np.linspace(0, 1, 14).round(6).tolist()), 1.0, "")
NOT_YET_LISTED = "(0x0008,0x001c)"
"""Synthetic Data, of 2023: dicom3tools' list of elements is of 2022."""


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here: apt-get install dicom3tools dcmtk")
    return found


@pytest.fixture
def encoded(tmp_path: Path) -> bytes:
    return dicom.DicomFolder(tmp_path, GENERATOR).encode(PIXELS, SHOWN)


@pytest.fixture
def file(encoded: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "x.dcm"
    path.write_bytes(encoded)
    return path


def test_what_it_says(encoded: bytes) -> None:
    """A synthetic radiograph for presentation, with pixels, findings and probabilities, of no patient and no date."""
    held = pydicom.dcmread(io.BytesIO(encoded))
    assert held.SOPClassUID == pydicom.uid.DigitalXRayImageStorageForPresentation
    assert held[0x0008, 0x001C].value == "YES" and held.BurnedInAnnotation == "NO"
    np.testing.assert_array_equal(held.pixel_array, PIXELS)
    assert "Edema, Mass" in held.ImageComments
    block = held.private_block(dicom.GROUP, dicom.CREATOR)
    assert list(block[0x01].value) == ["Edema", "Mass"] and list(block[0x02].value) == list(SHOWN.probabilities)
    assert (block[0x03].value, block[0x04].value) == ("5", "7")
    nobody = [element for element in held if element.tag.group == 0x0010 or element.VR in {"DA", "TM", "DT", "PN"}]
    assert len(nobody) >= 7 and not any(element.value for element in nobody)


def test_same_bytes_other_candidates(encoded: bytes, tmp_path: Path) -> None:
    """The bytes follow from pixels and record; another candidate, seed or generator is another study."""
    store = dicom.DicomFolder(tmp_path, GENERATOR)
    assert store.encode(PIXELS, SHOWN) == encoded
    others = [(store, {"index": 6}), (store, {"seed": 8}), (dicom.DicomFolder(tmp_path, "cd" * 32), {})]
    made = [each.encode(PIXELS, Record(**vars(SHOWN) | changed)) for each, changed in others]
    uids = [pydicom.dcmread(io.BytesIO(data)).StudyInstanceUID for data in (encoded, *made)]
    assert len(set(uids)) == 4 and all(uid.is_valid for uid in uids)


def test_pixels_without_the_library(encoded: bytes) -> None:
    """`image_bytes.pixels` reads our files as it reads PNGs; another's, or one cut short, is an error."""
    np.testing.assert_array_equal(image_reader.pixels(encoded), PIXELS)
    np.testing.assert_array_equal(image_reader.pixels(images.encode_png(PIXELS)), PIXELS)
    for harmed in (encoded[:-7], encoded[:200], encoded[:132], encoded + b"\0\0"):
        with pytest.raises(DataError, match="not a DICOM file that synthcxr wrote"):
            image_reader.pixels(harmed)


def test_dciodvfy_finds_no_fault(file: Path) -> None:
    """The validator names the object and objects to the one element that is younger than its list."""
    done = subprocess.run([tool("dciodvfy"), str(file)], capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).splitlines()
    assert "DXImageForPresentation" in said
    assert not [line for line in said if line.startswith("Error") and NOT_YET_LISTED not in line]


def test_dcmtk_reads_it_back(file: Path, tmp_path: Path) -> None:
    """dcmtk renders the very pixels, through window and presentation as a viewer would."""
    subprocess.run([tool("dcm2pnm"), "--write-8-bit-pnm", str(file), str(tmp_path / "x.pgm")], check=True)
    with Image.open(tmp_path / "x.pgm") as shown:
        assert np.abs(np.asarray(shown).astype(int) - PIXELS).max() <= 1


def test_a_folder_of_them(tmp_path: Path) -> None:
    """The store writes, reads and cuts as the others do."""
    store = dicom.DicomFolder(tmp_path, GENERATOR)
    data = store.encode(PIXELS, SHOWN)
    held = [
        Record(**vars(SHOWN) | {"file_name": store.file_name(at), "sha256": digests.sha256_bytes(data)})
        for at in range(3)
    ]
    for at, record in enumerate(held):
        store.write(at, data, record)
    assert list(store.read(held)) == [data] * 3
    store.cut(1)
    assert list(store.read(held)) == [data, None, None]
    data_entry_csv.write(tmp_path, held, side=32)
    assert "00000001.dcm,Edema|Mass,0,2,,,,32,32,," in (tmp_path / data_entry_csv.NAME).read_text()
