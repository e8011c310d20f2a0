"""DICOM films made from phantoms: any pixels, tags and compression that a test asks for."""

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


def phantom_12_bit(index: int, side: int = 32) -> NDArray[np.uint16]:
    """A drawn film in 12 bits."""
    return np.rint(phantom.draw(1, index, side) * 4095).astype(np.uint16)


@contextlib.contextmanager
def _unwarned() -> Iterator[None]:
    """pydicom warns of the wrong values that a test wants."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@_unwarned()
def film(pixels: NDArray[Any], *, bits: int = 12, compress: str = "", **tags: Any) -> FileDataset:
    """A DX film of these stored values; `tags` are set last, `compress` is a transfer syntax."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = DIGITAL_X_RAY, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = tags.get("SOPInstanceUID") or generate_uid()
    made = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = DIGITAL_X_RAY, meta.MediaStorageSOPInstanceUID
    made.Modality, made.PatientID, made.ViewPosition, made.BodyPartExamined = "DX", "007", "PA", "CHEST"
    made.PatientName, made.InstitutionName = "Doe^Jane", "St Elsewhere"
    made.Rows, made.Columns = pixels.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit = 8 * pixels.itemsize, bits, bits - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.PixelData = pixels.tobytes()
    made["PixelData"].VR = "OB" if pixels.itemsize == 1 else "OW"
    for name, value in tags.items():
        setattr(made, name, value)
    if compress:
        made.compress(compress, generate_instance_uid=False)
    return made


def jpeg_film(pixels: NDArray[np.uint8], **tags: Any) -> FileDataset:
    """A film in baseline JPEG, which pydicom writes by no encoder of its own."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95)
    made = film(pixels, bits=8, **tags)
    made.PixelData, made.file_meta.TransferSyntaxUID = encapsulate([stream.getvalue()]), JPEGBaseline8Bit
    made["PixelData"].is_undefined_length = True
    return made


@_unwarned()
def save(made: FileDataset, path: Path) -> Path:
    """Write it as a file, its folders made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)
    return path
