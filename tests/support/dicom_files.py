"""Build DICOM films from phantoms, with any pixels, tags and compression."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

from synthcxr.readers import phantom

DIGITAL_X_RAY = "1.2.840.10008.5.1.4.1.1.1.1"


def draw_12_bit_phantom(index: int, side: int = 32) -> NDArray[np.uint16]:
    """Draw a phantom with 12 bits per pixel."""
    return np.rint(phantom.draw_film(1, index, side) * 4095).astype(np.uint16)


@contextlib.contextmanager
def _ignore_warnings() -> Iterator[None]:
    """Ignore pydicom's warnings about the invalid values of a test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@_ignore_warnings()
def build_film(pixels: NDArray[Any], *, bits: int = 12, compress: str = "", **tags: Any) -> FileDataset:
    """Build a DX film from stored values; `tags` are set last, and `compress` is a transfer syntax."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = DIGITAL_X_RAY, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = tags.get("SOPInstanceUID") or generate_uid()
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = DIGITAL_X_RAY, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PatientID, dataset.ViewPosition, dataset.BodyPartExamined = "DX", "007", "PA", "CHEST"
    dataset.PatientName, dataset.InstitutionName = "Doe^Jane", "St Elsewhere"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * pixels.itemsize, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB" if pixels.itemsize == 1 else "OW"
    for name, value in tags.items():
        setattr(dataset, name, value)
    if compress:
        dataset.compress(compress, generate_instance_uid=False)
    return dataset


def build_jpeg_film(pixels: NDArray[np.uint8], **tags: Any) -> FileDataset:
    """Build a film in baseline JPEG, for which pydicom has no encoder."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95)
    dataset = build_film(pixels, bits=8, **tags)
    dataset.PixelData, dataset.file_meta.TransferSyntaxUID = encapsulate([stream.getvalue()]), JPEGBaseline8Bit
    dataset["PixelData"].is_undefined_length = True
    return dataset


@_ignore_warnings()
def write_film(dataset: FileDataset, path: Path) -> Path:
    """Write a film to a file, and create its parent folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path
