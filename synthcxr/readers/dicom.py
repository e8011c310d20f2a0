"""Read DICOM films: CR and DX files in any folders, with a CSV file of labels.

Only pixels, size and view of a file are used; no other tag is passed on. Patients and films are named by keyed hashes
(HMAC-SHA256 with a secret of the user), so that nobody can identify a patient in the manifest by trying all numbers.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import hashlib
import hmac
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from synthcxr.data.films import Film
from synthcxr.data.findings import LABEL_SEPARATOR
from synthcxr.errors import ConfigError, DataError
from synthcxr.readers import csv_table, dicom_pixels, label_csv
from synthcxr.readers.csv_table import CsvTable

ATTRIBUTION = ""
_MAGIC_OFFSET, _MAGIC = 128, b"DICM"
_DICOM_SUFFIXES = {".dcm", ".dicom"}
_MODALITIES = {"CR", "DX"}
_CHEST_BODY_PARTS = ("CHEST", "THORAX", "LUNG", "RIB")
_DICOMDIR_CLASS_UID = "1.2.840.10008.1.3.10"
_TAGS = (
    *("PatientID", "SOPInstanceUID", "Modality", "ViewPosition", "BodyPartExamined", "PresentationIntentType"),
    *("Rows", "Columns"),
)
_MIN_SALT_BYTES = 16


@dataclasses.dataclass(frozen=True)
class _Header:
    """A file without its pixels. `exclusion` is why it is not a frontal chest film, `error` why it is unreadable."""

    file: Path
    uid: str = ""
    patient: str = ""
    view: str = ""
    side: int = 0
    exclusion: str = ""
    error: str = ""


def read_films(
    path: str,
    *,
    salt: str,
    source: str = "dicom",
    csv: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    separator: str = LABEL_SEPARATOR,
    map: Mapping[str, str] | None = None,
    others: str = "absent",
    view: str = "",
    report: Callable[[str], None] = lambda line: None,
) -> Iterator[Film]:
    """Read the frontal CR and DX films below the folder `path` that its CSV file lists, in the order of the CSV file.

    `salt` is the file with the secret for the hashes. The CSV file names a film by its path, its file name or its SOP
    Instance UID; its labels are parsed as in the folder reader. Lateral views, other body parts, other modalities and
    films for processing are left out; `report` receives a line about them. `view` is used if a file has no view
    position. A broken file becomes a film that cannot be read, which `prepare.on_bad` handles. Raises DataError for a
    missing folder, CSV file or films, and ConfigError for an invalid option.
    """
    root = Path(path).expanduser()
    if others not in {"absent", "unknown"}:
        raise ConfigError(f"others: {others!r} is neither absent nor unknown")
    if view not in {"", "PA", "AP"}:
        raise ConfigError(f"view: {view!r} is neither PA nor AP")
    hash_name = functools.partial(_hash_name, _read_salt(Path(salt).expanduser()))
    parse_labels = functools.partial(
        label_csv.parse_labels,
        separator=separator,
        aliases=label_csv.check_aliases(map or {}),
        others_absent=others == "absent",
    )
    table = _read_table(root, csv, image_column, label_column)
    findings = csv_table.parse_findings(table, parse_labels)
    headers = _read_headers(root, report)
    file_of_uid = {header.uid: file for file, header in headers.items() if header.uid}
    file_of_row = label_csv.locate_films(root, list(headers), table, extra_names=file_of_uid)
    label_csv.report_counts(root, table, n_located=len(file_of_row), n_files=len(headers), report=report)
    films = []
    for row, file in file_of_row.items():
        header = headers[file]
        film_hash = hash_name(header.uid or file.relative_to(root).as_posix())
        patient = csv_table.normalise_patient_id(
            header.patient or (table["patient"][row] if "patient" in table else "")
        )
        films.append(
            Film(
                image_index=f"{source}-{film_hash}",
                patient_id=f"{source}-{hash_name(patient)}" if patient else f"{source}:{film_hash}",
                source=source,
                view=header.view or view,
                findings=findings[row],
                read=functools.partial(dicom_pixels.read_pixels, file),
                read_size=functools.partial(_get_size, header),
                origin=str(file),
            )
        )
    _report_assumptions(root, films, report)
    return iter(films)


def matches_layout(path: Path) -> bool:
    """Return whether the folder has a CSV file and a DICOM file; reads the first bytes of files until one matches."""
    try:
        return label_csv.find_label_csv(path, None) is not None and any(
            _is_dicom(file) for file in label_csv.walk_files(path, _may_be_dicom)
        )
    except DataError:
        return False


def _read_salt(file: Path) -> bytes:
    try:
        key = file.read_bytes().strip()
    except OSError as error:
        raise ConfigError(
            f"salt: {file} cannot be read ({error.strerror}); create it with `openssl rand -hex 32 > {file}` and keep "
            "it out of git, because it protects the identity of the patients"
        ) from error
    if len(key) < _MIN_SALT_BYTES:
        raise ConfigError(
            f"salt: {file} contains {len(key)} bytes, expected at least {_MIN_SALT_BYTES}; create it with "
            f"`openssl rand -hex 32 > {file}`"
        )
    return key


def _hash_name(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode("utf-8", errors="surrogateescape"), hashlib.sha256).hexdigest()[:16]


def _read_table(root: Path, csv: str | None, image_column: str | None, label_column: str | None) -> CsvTable:
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    csv_file = label_csv.find_label_csv(root, csv)
    if csv_file is None:
        raise DataError(f"{root}: contains no CSV file of labels; add one, or name it with the option `csv`")
    required = {
        "image": (image_column,) if image_column else (*label_csv.IMAGE_COLUMNS, "SOPInstanceUID", "sop_instance_uid"),
        "labels": (label_column,) if label_column else label_csv.LABEL_COLUMNS,
    }
    table = csv_table.read_table(csv_file, required=required, optional={"patient": label_csv.PATIENT_COLUMNS})
    csv_table.refuse_duplicates(table)
    return table


def _read_headers(root: Path, report: Callable[[str], None]) -> dict[Path, _Header]:
    """Read the headers of all frontal chest films and of all broken files; report what is left out."""
    files = [
        file
        for file in label_csv.walk_files(root, _may_be_dicom)
        if file.suffix.lower() in _DICOM_SUFFIXES or _is_dicom(file)
    ]
    if not files:
        raise DataError(f"{root}: no films found: the folder contains no DICOM file")
    headers = [_read_header(file) for file in files]
    exclusions = collections.Counter(header.exclusion for header in headers if header.exclusion)
    if exclusions:
        counts = ", ".join(f"{n:,} {exclusion}" for exclusion, n in sorted(exclusions.items()))
        report(f"{root}: {exclusions.total():,} files are not frontal chest films and are left out: {counts}")
    return {header.file: header for header in headers if not header.exclusion}


def _may_be_dicom(file: Path) -> bool:
    return file.suffix.lower() not in {".csv", ".txt", ".json", ".png", ".jpg", ".jpeg", ".zip"}


def _is_dicom(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            stream.seek(_MAGIC_OFFSET)
            return stream.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _read_header(file: Path) -> _Header:
    import pydicom

    dicom_pixels.silence_pydicom_warnings()
    if not _is_dicom(file):
        return _Header(file, error=f"{file}: not a readable DICOM film (no DICM at byte {_MAGIC_OFFSET})")
    try:
        with dicom_pixels.translate_errors(file):
            meta = pydicom.filereader.read_file_meta_info(file)
            if meta.get("MediaStorageSOPClassUID") == _DICOMDIR_CLASS_UID:
                return _Header(file, exclusion="directory")
            dicom_pixels.check_transfer_syntax(file)
            tags = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
            if not _get_text(tags, "Modality"):
                return _Header(file, error=f"{file}: not a readable DICOM film (no modality)")
            exclusion = _find_exclusion(tags)
            if exclusion:
                return _Header(file, exclusion=exclusion)
            dicom_pixels.check_size(file, int(tags.Rows), int(tags.Columns))
            return _Header(
                file,
                uid=_get_text(tags, "SOPInstanceUID"),
                patient=_get_text(tags, "PatientID"),
                view=csv_table.parse_view(_get_text(tags, "ViewPosition")),
                side=min(int(tags.Rows), int(tags.Columns)),
            )
    except DataError as error:
        return _Header(file, error=str(error))


def _find_exclusion(tags: Any) -> str:
    """Return why a file is not a frontal chest film for presentation; "" if it is one or its tags do not say."""
    modality, view = _get_text(tags, "Modality"), _get_text(tags, "ViewPosition")
    body_part = _get_text(tags, "BodyPartExamined").upper()
    if modality not in _MODALITIES:
        return f"of modality {modality[:16]}"
    if view and not csv_table.parse_view(view):
        return f"of view {view[:16]}"
    if body_part and not any(word in body_part for word in _CHEST_BODY_PARTS):
        return f"of {body_part[:16]}"
    return "for processing" if _get_text(tags, "PresentationIntentType") == "FOR PROCESSING" else ""


def _get_text(tags: Any, name: str) -> str:
    return str(tags.get(name) or "").strip()


def _get_size(header: _Header) -> int:
    if header.error:
        raise DataError(header.error)
    return header.side


def _report_assumptions(root: Path, films: Sequence[Film], report: Callable[[str], None]) -> None:
    n_without_patient = sum(film.patient_id.startswith(f"{film.source}:") for film in films)
    if n_without_patient:
        report(
            f"{root}: warning: {n_without_patient:,} films have no patient ID and count as one patient each, so films "
            "of one person may be in two splits"
        )
    label_csv.report_unknown_findings(root, [film.findings for film in films], report)
    if all(math.isnan(value) for film in films for value in film.findings):
        report(f"{root}: warning: no film has a label")
