"""Read the headers of DICOM files: what is a frontal chest film, its view, size and patient, without its pixels."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from synthcxr.data.left_out import LeftOut, LeftOutLine, Reason
from synthcxr.data.number_format import format_quantity
from synthcxr.errors import DataError
from synthcxr.readers import csv_table, dicom_geometry, dicom_pixels, film_files
from synthcxr.storage.progress import track

_MAGIC_OFFSET, _MAGIC = 128, b"DICM"
_MODALITIES = {"CR", "DX", "DR", "RG", "XR"}
"""CR and DX; RG is a digitised film, and DR and XR are written for DX by some archives."""
_CHEST_BODY_PARTS = ("CHEST", "THORAX", "LUNG", "RIB")
_DICOMDIR_CLASS_UID = "1.2.840.10008.1.3.10"
_VIEW_DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "PerformedProcedureStepDescription", "StudyDescription")
_TAGS = (
    *("PatientID", "SOPInstanceUID", "Modality", "ViewPosition", "BodyPartExamined", "PresentationIntentType"),
    *("Rows", "Columns", "ViewCodeSequence", "BurnedInAnnotation", "PatientSex", "PatientAge", *_VIEW_DESCRIPTIONS),
    *(*dicom_geometry.TAGS, *dicom_pixels.RANGE_TAGS),
)
_VIEW_OF_CODE = {
    **dict.fromkeys(("R-10214", "272479007"), "PA"),
    **dict.fromkeys(("R-10206", "399348003"), "AP"),
    **dict.fromkeys(("R-10232", "R-10236", "399173006", "399198007"), "LATERAL"),
}
_LATERAL = "LATERAL"


@dataclasses.dataclass(frozen=True)
class DicomHeader:
    """A file without its pixels.

    `exclusion` is why it is not a frontal chest film, `error` why it is unreadable; `changes` describe what is unusual
    in its display.
    """

    file: Path
    uid: str = ""
    patient: str = ""
    view: str = ""
    sex: str = ""
    age: float = math.nan
    side: int = 0
    exclusion: str = ""
    error: str = ""
    changes: tuple[str, ...] = ()


def read_headers(
    root: Path, modalities: Sequence[str] | None, report: Callable[[str], None]
) -> dict[Path, DicomHeader]:
    """Read the headers of all frontal chest films and of all broken files; report what is left out."""
    files = [
        file
        for file in film_files.walk_files(root, _may_be_dicom)
        if file.suffix.lower() in film_files.DICOM_SUFFIXES or _is_dicom(file)
    ]
    if not files:
        raise DataError(f"{root}: no films found: the folder contains no DICOM file")
    accepted = _MODALITIES if modalities is None else {str(modality).strip().upper() for modality in modalities}
    headers = [_read_header(file, accepted) for file in track(files, "DICOM headers", unit="files")]
    exclusions = collections.Counter(header.exclusion for header in headers if header.exclusion)
    if exclusions:
        counts = ", ".join(f"{n:,} {exclusion}" for exclusion, n in sorted(exclusions.items()))
        line = f"{root}: left out {format_quantity(exclusions.total(), 'file')}, not frontal chest films: {counts}"
        parts = [
            LeftOut(_find_reason(header.exclusion), 1, header.file.relative_to(root).as_posix())
            for header in headers
            if header.exclusion
        ]
        report(LeftOutLine(line, *parts))
    if all(header.exclusion for header in headers):
        raise DataError(
            f"{root}: no films found: none of the {len(headers):,} DICOM files is a frontal chest film: {counts}"
        )
    return {header.file: header for header in headers if not header.exclusion}


def contains_dicom(folder: Path) -> bool:
    """Whether the folder has a DICOM file; reads the first bytes of files until one matches."""
    return any(_is_dicom(file) for file in film_files.walk_files(folder, _may_be_dicom))


def _may_be_dicom(file: Path) -> bool:
    return file.suffix.lower() not in {".csv", ".txt", ".json", ".png", ".jpg", ".jpeg", ".zip"}


def _is_dicom(file: Path) -> bool:
    if not file.is_file():  # opening a named pipe would wait for its writer
        return False
    try:
        with file.open("rb") as stream:
            stream.seek(_MAGIC_OFFSET)
            return stream.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _read_header(file: Path, modalities: Collection[str]) -> DicomHeader:
    import pydicom

    dicom_pixels.silence_pydicom_warnings()
    if not _is_dicom(file):
        return DicomHeader(file, error=f"{file}: not a readable DICOM film (no DICM at byte {_MAGIC_OFFSET})")
    try:
        with dicom_pixels.translate_errors(file):
            meta = pydicom.filereader.read_file_meta_info(file)
            if meta.get("MediaStorageSOPClassUID") == _DICOMDIR_CLASS_UID:
                return DicomHeader(file, exclusion="directory")
            dicom_pixels.check_transfer_syntax(file)
            tags = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
            if not _get_text(tags, "Modality"):
                return DicomHeader(file, error=f"{file}: not a readable DICOM film (no modality)")
            exclusion = _find_exclusion(tags, modalities)
            if exclusion:
                return DicomHeader(file, exclusion=exclusion)
            dicom_pixels.check_size(file, int(tags.Rows), int(tags.Columns))
            shape = dicom_geometry.find_square_shape(
                int(tags.Rows), int(tags.Columns), dicom_geometry.find_aspect_ratio(tags)
            )
            return DicomHeader(
                file,
                uid=_get_text(tags, "SOPInstanceUID"),
                patient=_get_text(tags, "PatientID"),
                view=_find_view(tags),
                sex=csv_table.parse_sex(_get_text(tags, "PatientSex")),
                age=csv_table.parse_age(_get_text(tags, "PatientAge")),
                side=min(shape),
                changes=_list_changes(tags),
            )
    except DataError as error:
        return DicomHeader(file, error=str(error))


def _find_exclusion(tags: Any, modalities: Collection[str]) -> str:
    """Return why a file is not a frontal chest film for presentation; "" if it is one or its tags do not say."""
    modality, view = _get_text(tags, "Modality"), _get_text(tags, "ViewPosition")
    body_part = _get_text(tags, "BodyPartExamined").upper()
    if modality.upper() not in modalities:
        return f"of modality {modality[:16]}"
    if view and not _is_unstated(view) and not _find_view(tags):
        return f"of view {view[:16]}"
    if _find_view(tags) == _LATERAL:
        return "of a lateral view by code, orientation or description"
    if body_part and not any(word in body_part for word in _CHEST_BODY_PARTS):
        return f"of {body_part[:16]}"
    return "for processing" if _get_text(tags, "PresentationIntentType") == "FOR PROCESSING" else ""


def _find_reason(exclusion: str) -> Reason:
    """Find the reason in the table of `prepare` for a text of `_find_exclusion`."""
    kinds = {"of modality": Reason.MODALITY, "of view": Reason.NOT_FRONTAL, "of a lateral": Reason.NOT_FRONTAL}
    kinds |= {"for processing": Reason.FOR_PROCESSING, "directory": Reason.FOR_PROCESSING}
    return next((reason for text, reason in kinds.items() if exclusion.startswith(text)), Reason.BODY_PART)


def _find_view(tags: Any) -> str:
    """Find the view: PA, AP, _LATERAL or "", from View Position, else code, orientation, then the descriptions."""
    position = _get_text(tags, "ViewPosition")
    if not _is_unstated(position):
        return csv_table.parse_view(position)
    for item in tags.get("ViewCodeSequence") or ():
        meaning = _get_text(item, "CodeMeaning")
        view = _VIEW_OF_CODE.get(_get_text(item, "CodeValue"), "") or csv_table.parse_view(meaning)
        if view or csv_table.names_lateral_view(meaning):
            return view or _LATERAL
    if dicom_geometry.is_lateral(tags):
        return _LATERAL
    for name in _VIEW_DESCRIPTIONS:
        description = _get_text(tags, name)
        if csv_table.names_lateral_view(description):
            return _LATERAL
        if view := csv_table.parse_view(description):
            return view
    return ""


def _is_unstated(view: str) -> bool:
    return view.upper() in {"", "UNKNOWN", "NONE", "N/A", "NA", "FRONTAL"}


def _list_changes(tags: Any) -> tuple[str, ...]:
    """List what is unusual in the display of a film, as text that follows a number of films."""
    changes = []
    if dicom_geometry.find_turn(tags):
        changes.append("films are turned to the usual display by their Patient Orientation")
    if dicom_geometry.find_aspect_ratio(tags) != 1.0:
        changes.append("films with pixels that are not square are reduced along one side")
    if dicom_pixels.has_invalid_window(tags):
        changes.append("films have a window width of 0, which is ignored")
    if dicom_pixels.may_overstate_bits(tags):
        changes.append("films state 16 bits and no window; their grey levels are scaled by the bits that are in use")
    if _get_text(tags, "BurnedInAnnotation").upper() == "YES":
        changes.append("films have burned-in annotations, which may identify a patient")
    return tuple(changes)


def _get_text(tags: Any, name: str) -> str:
    return str(tags.get(name) or "").strip()
