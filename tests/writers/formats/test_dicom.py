"""DICOM files: their elements, that they contain no patient data, and that DICOM tools accept them."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthcxr.data import image_reader, images
from synthcxr.data.synthetic_dataset import ImageRecord
from synthcxr.errors import DataError
from synthcxr.storage.digests import sha256_bytes
from synthcxr.writers.sidecars import data_entry_csv

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed: pip install 'synthcxr[dicom]'")
dicom = pytest.importorskip("synthcxr.writers.formats.dicom")

GENERATOR = "ab" * 32
PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
RECORD = ImageRecord("", 5, 7, "Edema", ("Edema", "Mass"), tuple(np.linspace(0, 1, 14).round(6).tolist()), 1.0, "")
SYNTHETIC_DATA = "(0x0008,0x001c)"
"""An element of 2023; the dictionary of dicom3tools is of 2022."""


def find_tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed: apt-get install dicom3tools dcmtk")
    return path


@pytest.fixture
def encoded(tmp_path: Path) -> bytes:
    return dicom.DicomFolder(tmp_path, GENERATOR).encode(PIXELS, RECORD)


@pytest.fixture
def file(encoded: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "x.dcm"
    path.write_bytes(encoded)
    return path


def test_elements_describe_a_synthetic_image(encoded: bytes) -> None:
    """The file is a radiograph for presentation with pixels, findings and probabilities, without patient and date."""
    dataset = pydicom.dcmread(io.BytesIO(encoded))
    assert dataset.SOPClassUID == pydicom.uid.DigitalXRayImageStorageForPresentation
    assert dataset[0x0008, 0x001C].value == "YES" and dataset.BurnedInAnnotation == "NO"
    np.testing.assert_array_equal(dataset.pixel_array, PIXELS)
    assert "Edema, Mass" in dataset.ImageComments
    block = dataset.private_block(dicom.PRIVATE_GROUP, dicom.PRIVATE_CREATOR)
    assert list(block[0x01].value) == ["Edema", "Mass"] and list(block[0x02].value) == list(RECORD.probabilities)
    assert (block[0x03].value, block[0x04].value) == ("5", "7")
    identifying = [e for e in dataset if e.tag.group == 0x0010 or e.VR in {"DA", "TM", "DT", "PN"}]
    assert len(identifying) >= 7 and not any(element.value for element in identifying)


def test_bytes_are_reproducible_and_uids_are_unique(encoded: bytes, tmp_path: Path) -> None:
    """The same pixels and record give the same bytes; another candidate, seed or generator is another study."""
    store = dicom.DicomFolder(tmp_path, GENERATOR)
    assert store.encode(PIXELS, RECORD) == encoded
    others = [(store, {"index": 6}), (store, {"seed": 8}), (dicom.DicomFolder(tmp_path, "cd" * 32), {})]
    files = [other.encode(PIXELS, ImageRecord(**vars(RECORD) | changes)) for other, changes in others]
    uids = [pydicom.dcmread(io.BytesIO(data)).StudyInstanceUID for data in (encoded, *files)]
    assert len(set(uids)) == 4 and all(uid.is_valid for uid in uids)


def test_pixels_are_read_without_pydicom(encoded: bytes) -> None:
    """`image_reader` decodes these files as it decodes PNGs; a truncated or foreign file is an error."""
    np.testing.assert_array_equal(image_reader.decode_pixels(encoded, name="x"), PIXELS)
    np.testing.assert_array_equal(image_reader.decode_pixels(images.encode_png(PIXELS), name="x"), PIXELS)
    for damaged in (encoded[:-7], encoded[:200], encoded[:132], encoded + b"\0\0"):
        with pytest.raises(DataError, match="not a DICOM file that synthcxr wrote"):
            image_reader.decode_pixels(damaged, name="x")


def test_dciodvfy_finds_no_error(file: Path) -> None:
    """The validator recognises the object and reports only the element that its dictionary lacks."""
    result = subprocess.run([find_tool("dciodvfy"), str(file)], capture_output=True, text=True, check=False)
    lines = (result.stdout + result.stderr).splitlines()
    assert "DXImageForPresentation" in lines
    assert not [line for line in lines if line.startswith("Error") and SYNTHETIC_DATA not in line]


def test_dcmtk_renders_the_pixels(file: Path, tmp_path: Path) -> None:
    """dcmtk renders the same pixels, through window and presentation as a viewer does."""
    subprocess.run([find_tool("dcm2pnm"), "--write-8-bit-pnm", str(file), str(tmp_path / "x.pgm")], check=True)
    with Image.open(tmp_path / "x.pgm") as rendered:
        assert np.abs(np.asarray(rendered).astype(int) - PIXELS).max() <= 1


def test_dicom_folder_behaves_like_other_stores(tmp_path: Path) -> None:
    """The store writes, reads and truncates, and Data_Entry.csv lists its files."""
    store = dicom.DicomFolder(tmp_path, GENERATOR)
    data = store.encode(PIXELS, RECORD)
    records = [
        ImageRecord(**vars(RECORD) | {"file_name": store.file_name(ordinal), "sha256": sha256_bytes(data)})
        for ordinal in range(3)
    ]
    for ordinal, record in enumerate(records):
        store.write(ordinal, data, record)
    assert list(store.read(records)) == [data] * 3
    store.truncate(1)
    assert list(store.read(records)) == [data, None, None]
    with data_entry_csv.open_data_entry(tmp_path, side=32) as add_entry:
        for record in records:
            add_entry(record)
    table = (tmp_path / data_entry_csv.DATA_ENTRY_FILE).read_text()
    assert "00000001.dcm,Edema|Mass,0,2,,,,32,32,," in table
