"""DICOM files: dicom/00000/00000000.dcm, each a Digital X-Ray Image For Presentation that says it is synthetic.

The object is that of DICOM PS3.3 A.26, uncompressed; it names no patient and holds no date. Every image is a study of
its own. UIDs follow from the generator's digest, the seed and the candidate (PS3.5 B.2), so that the bytes are the
same everywhere.
"""

from __future__ import annotations

import io
import uuid
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

import synthcxr
from synthcxr.data.records import Record
from synthcxr.writers.formats.files import Files
from synthcxr.writers.formats.store import DICOM

FIELD_MM = 430.0
"""Side of the detector that the pixel spacing stands for: a nominal one, since a synthetic chest has no size."""
CREATOR, GROUP = "SYNTHCXR", 0x0041
"""Of the private elements: 01 the findings, 02 their probabilities in NIH order, 03 the candidate, 04 the seed."""
VERSION: str = pydicom.__version__

_NAMESPACE = uuid.UUID("6f5c0ad2-5c8e-5d0b-9a59-2f1f0c1e7d11")
_UNPAIRED, _SYNTHETIC = "U", "YES"


class DicomFolder(Files):
    """The Store of DICOM files under `root`/dicom, of the generator with the digest `generator`."""

    folder, suffix = DICOM, ".dcm"

    def __init__(self, root: Path, generator: str) -> None:
        super().__init__(root)
        self.generator = generator

    def encode(self, pixels: NDArray[np.uint8], record: Record) -> bytes:
        """The file of an image uint8 [R, R] with what its record says of it."""
        held = Dataset()
        _identify(held, f"{self.generator}/{record.seed}/{record.index}")
        _describe(held, record)
        _depict(held, pixels)
        held.file_meta = FileMetaDataset()
        held.file_meta.MediaStorageSOPClassUID = held.SOPClassUID
        held.file_meta.MediaStorageSOPInstanceUID = held.SOPInstanceUID
        held.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        held.file_meta.ImplementationClassUID = _uid("implementation")
        held.file_meta.ImplementationVersionName = CREATOR
        file = io.BytesIO()
        pydicom.dcmwrite(file, held, enforce_file_format=True)
        return file.getvalue()


def _uid(text: str) -> UID:
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, text).int}")


def _identify(held: Dataset, candidate: str) -> None:
    """Patient, study, series, equipment: nobody's, without date, and its UIDs."""
    held.SOPClassUID = DigitalXRayImageStorageForPresentation
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(held, name, _uid(f"{candidate}/{name}"))
    for name in (
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
        *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
    ):
        setattr(held, name, "")
    held.Modality, held.PresentationIntentType = "DX", "FOR PRESENTATION"
    held.SeriesNumber, held.InstanceNumber = 1, 1
    held.Manufacturer, held.SoftwareVersions = "synthcxr", synthcxr.__version__


def _describe(held: Dataset, record: Record) -> None:
    """That it is synthetic, and what the classifier finds in it: in words, and in private elements for code."""
    held.SyntheticData = _SYNTHETIC
    held.ImageType = ["DERIVED", "PRIMARY", ""]
    held.DerivationDescription = "Synthetic image made by a neural network; it shows no patient"
    held.ImageComments = f"Synthetic. Findings by a classifier: {', '.join(record.findings)}"
    block = held.private_block(GROUP, CREATOR, create=True)
    block.add_new(0x01, "LO", list(record.findings))
    block.add_new(0x02, "FD", list(record.probabilities))
    block.add_new(0x03, "LO", str(record.index))
    block.add_new(0x04, "LO", str(record.seed))


def _depict(held: Dataset, pixels: NDArray[np.uint8]) -> None:
    """The pixels, how to show them and what part of a body they show."""
    held.Rows, held.Columns = pixels.shape
    held.SamplesPerPixel, held.PhotometricInterpretation = 1, "MONOCHROME2"
    held.BitsAllocated, held.BitsStored, held.HighBit, held.PixelRepresentation = 8, 8, 7, 0
    held.PixelIntensityRelationship, held.PixelIntensityRelationshipSign = "LOG", -1
    held.RescaleIntercept, held.RescaleSlope, held.RescaleType = 0, 1, "US"
    held.WindowCenter, held.WindowWidth, held.PresentationLUTShape = 128, 256, "IDENTITY"
    held.LossyImageCompression, held.BurnedInAnnotation = "00", "NO"
    held.ImagerPixelSpacing = [round(FIELD_MM / side, 6) for side in pixels.shape]
    held.DetectorType, held.BodyPartExamined = "", "CHEST"
    held.PatientOrientation, held.ImageLaterality = ["L", "F"], _UNPAIRED
    held.AnatomicRegionSequence = Sequence([_code("51185008", "SCT", "Chest")])
    held.AcquisitionContextSequence = Sequence()
    held.add_new("PixelData", "OB", np.ascontiguousarray(pixels).tobytes())


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    held = Dataset()
    held.CodeValue, held.CodingSchemeDesignator, held.CodeMeaning = value, scheme, meaning
    return held
