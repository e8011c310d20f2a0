"""DICOM files: dicom/00000/00000000.dcm, each a Digital X-Ray Image For Presentation, marked as synthetic.

The files follow DICOM PS3.3 A.26 and are uncompressed. They contain no patient and no date; view, sex and age are those
of the condition of a conditional generator. Each image is its own study. UIDs are derived from the generator's digest,
the seed and the candidate index (PS3.5 B.2), so that the bytes are the same everywhere.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

import synthcxr
from synthcxr.data.condition_columns import AGE_COLUMN, SEX_COLUMN, VIEW_COLUMN
from synthcxr.data.synthetic_dataset import ImageRecord
from synthcxr.writers.formats.image_folder import DICOM_FOLDER, ImageFolder

DETECTOR_SIDE_MM = 430.0
"""Nominal detector size behind the pixel spacing: a synthetic chest has no physical size."""
PRIVATE_CREATOR, PRIVATE_GROUP = "SYNTHCXR", 0x0041
"""Private elements: 01 findings, 02 their probabilities in NIH order, 03 index of the candidate, 04 seed."""
VERSION: str = pydicom.__version__

_NAMESPACE = uuid.UUID("6f5c0ad2-5c8e-5d0b-9a59-2f1f0c1e7d11")
_UNPAIRED, _SYNTHETIC = "U", "YES"


class DicomFolder(ImageFolder):
    """The image store of DICOM files in `root`/dicom. `generator` is the digest of the generator's file."""

    folder, suffix = DICOM_FOLDER, ".dcm"

    def __init__(self, root: Path, generator: str) -> None:
        super().__init__(root)
        self.generator = generator

    def encode(self, pixels: NDArray[np.uint8], record: ImageRecord) -> bytes:
        """Encode an image uint8 [R, R] as DICOM, with the findings and the origin from its record."""
        dataset = Dataset()
        _set_identity(dataset, f"{self.generator}/{record.seed}/{record.index}")
        _set_description(dataset, record)
        _set_condition(dataset, record.condition)
        _set_pixels(dataset, pixels)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.ImplementationClassUID = _make_uid("implementation")
        dataset.file_meta.ImplementationVersionName = PRIVATE_CREATOR
        file = io.BytesIO()
        pydicom.dcmwrite(file, dataset, enforce_file_format=True)
        return file.getvalue()


def _make_uid(text: str) -> UID:
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, text).int}")


def _set_identity(dataset: Dataset, candidate: str) -> None:
    """Set the UIDs, the empty patient and study elements, and the equipment."""
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(dataset, name, _make_uid(f"{candidate}/{name}"))
    for name in (
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
        *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
    ):
        setattr(dataset, name, "")
    dataset.Modality, dataset.PresentationIntentType = "DX", "FOR PRESENTATION"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    dataset.Manufacturer, dataset.SoftwareVersions = "synthcxr", synthcxr.__version__


def _set_description(dataset: Dataset, record: ImageRecord) -> None:
    """Mark the image as synthetic, and give its findings by the classifier as text and in private elements."""
    dataset.SyntheticData = _SYNTHETIC
    dataset.ImageType = ["DERIVED", "PRIMARY", ""]
    dataset.DerivationDescription = "Synthetic image made by a neural network; it shows no patient"
    dataset.ImageComments = f"Synthetic. Findings by a classifier: {', '.join(record.findings)}"
    block = dataset.private_block(PRIVATE_GROUP, PRIVATE_CREATOR, create=True)
    block.add_new(0x01, "LO", list(record.findings))
    block.add_new(0x02, "FD", list(record.probabilities))
    block.add_new(0x03, "LO", str(record.index))
    block.add_new(0x04, "LO", str(record.seed))


def _set_condition(dataset: Dataset, condition: Mapping[str, str]) -> None:
    """Set the known view, sex and age of the condition of a conditional generator."""
    if view := condition.get(VIEW_COLUMN):
        dataset.ViewPosition = view
    if sex := condition.get(SEX_COLUMN):
        dataset.PatientSex = sex
    if age := condition.get(AGE_COLUMN):
        dataset.PatientAge = f"{int(age):03d}Y"


def _set_pixels(dataset: Dataset, pixels: NDArray[np.uint8]) -> None:
    """Set the pixels, how to display them, and the body part."""
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LOG", -1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    dataset.WindowCenter, dataset.WindowWidth, dataset.PresentationLUTShape = 128, 256, "IDENTITY"
    dataset.LossyImageCompression, dataset.BurnedInAnnotation = "00", "NO"
    dataset.ImagerPixelSpacing = [round(DETECTOR_SIDE_MM / side, 6) for side in pixels.shape]
    dataset.DetectorType, dataset.BodyPartExamined = "", "CHEST"
    dataset.PatientOrientation, dataset.ImageLaterality = ["L", "F"], _UNPAIRED
    dataset.AnatomicRegionSequence = Sequence([_make_code("51185008", "SCT", "Chest")])
    dataset.AcquisitionContextSequence = Sequence()
    dataset.add_new("PixelData", "OB", np.ascontiguousarray(pixels).tobytes())


def _make_code(value: str, scheme: str, meaning: str) -> Dataset:
    dataset = Dataset()
    dataset.CodeValue, dataset.CodingSchemeDesignator, dataset.CodeMeaning = value, scheme, meaning
    return dataset
