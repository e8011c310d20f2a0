"""Films as a hospital's archive gives them: CR and DX files in any folders, labelled by a CSV.

Of a file's tags only pixels, size and view pass on. Patient and film are named by keyed hashes (HMAC-SHA256 with a
secret of the user's), so that whoever holds the manifest cannot find a patient by trying all numbers.
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

ATTRIBUTION = ""
_MAGIC_AT, _MAGIC = 128, b"DICM"
_SUFFIXES = {".dcm", ".dicom"}
_MODALITIES = {"CR", "DX"}
_CHEST = ("CHEST", "THORAX", "LUNG", "RIB")
_DIRECTORY = "1.2.840.10008.1.3.10"
_TAGS = (
    *("PatientID", "SOPInstanceUID", "Modality", "ViewPosition", "BodyPartExamined", "PresentationIntentType"),
    *("Rows", "Columns"),
)
_SALT_BYTES = 16


@dataclasses.dataclass(frozen=True)
class _Header:
    """A file before its pixels: `barred` says why it is no frontal chest film, `broken` what ails it."""

    file: Path
    uid: str = ""
    patient: str = ""
    view: str = ""
    side: int = 0
    barred: str = ""
    broken: str = ""


def read(
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
    """The frontal CR and DX films below the folder `path` that its CSV lists, in the CSV's order.

    `salt` is the file of the secret that names are hashed with. The CSV names a film by its path, its file's name or
    its SOP Instance UID; its labels are read as by the folder reader. Lateral views, other body parts, other
    modalities and films for processing are left out, and `report` gets a line for all that is; `view` stands in where
    a file says none. A broken file is a film that cannot be read: `prepare.on_bad` decides. Raises DataError for a
    folder, CSV or films that are not there, ConfigError for an option that cannot be used.
    """
    root = Path(path).expanduser()
    if others not in {"absent", "unknown"}:
        raise ConfigError(f"others: {others!r} is neither absent nor unknown")
    if view not in {"", "PA", "AP"}:
        raise ConfigError(f"view: {view!r} is neither PA nor AP")
    name = functools.partial(_hashed, _key(Path(salt).expanduser()))
    parse = functools.partial(
        label_csv.findings, separator=separator, aliases=label_csv.aliases(map or {}), absent=others == "absent"
    )
    listed = _listed(root, csv, image_column, label_column)
    findings = csv_table.findings(listed, parse)
    headers = _headers(root, report)
    also = {header.uid: file for file, header in headers.items() if header.uid}
    found = label_csv.locate(root, list(headers), listed, also=also)
    label_csv.report_counts(root, listed, found=found, n_files=len(headers), report=report)
    films = []
    for row, file in found.items():
        header = headers[file]
        own = name(header.uid or file.relative_to(root).as_posix())
        patient = csv_table.unpadded(header.patient or (listed["patient"][row] if "patient" in listed else ""))
        films.append(
            Film(
                image_index=f"{source}-{own}",
                patient_id=f"{source}-{name(patient)}" if patient else f"{source}:{own}",
                source=source,
                view=header.view or view,
                findings=findings[row],
                read=functools.partial(dicom_pixels.read, file),
                read_size=functools.partial(_size, header),
                origin=str(file),
            )
        )
    _report_assumptions(root, films, report)
    return iter(films)


def fits(path: Path) -> bool:
    """Whether a folder holds a DICOM file beside a CSV; reads a few bytes of each file until it finds one."""
    try:
        return label_csv.listing(path, None) is not None and any(
            _is_dicom(file) for file in label_csv.walk(path, _may_be)
        )
    except DataError:
        return False


def _key(file: Path) -> bytes:
    try:
        key = file.read_bytes().strip()
    except OSError as error:
        raise ConfigError(
            f"salt: {file} cannot be read ({error.strerror}); make it with `openssl rand -hex 32 > {file}` and keep it "
            "out of git: it is what hides the patients"
        ) from error
    if len(key) < _SALT_BYTES:
        raise ConfigError(
            f"salt: {file} holds {len(key)} bytes; give it {_SALT_BYTES} or more, by `openssl rand -hex 32`"
        )
    return key


def _hashed(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode("utf-8", errors="surrogateescape"), hashlib.sha256).hexdigest()[:16]


def _listed(root: Path, csv: str | None, image_column: str | None, label_column: str | None) -> csv_table.Table:
    if not root.is_dir():
        raise DataError(f"{root}: no such folder of films")
    listing = label_csv.listing(root, csv)
    if listing is None:
        raise DataError(f"{root}: holds no CSV of the films and their labels; say which with `csv`")
    required = {
        "image": (image_column,) if image_column else (*label_csv.IMAGE, "SOPInstanceUID", "sop_instance_uid"),
        "labels": (label_column,) if label_column else label_csv.LABELS,
    }
    listed = csv_table.read(listing, required=required, optional={"patient": label_csv.PATIENT})
    csv_table.refuse_repeats(listed)
    return listed


def _headers(root: Path, report: Callable[[str], None]) -> dict[Path, _Header]:
    """The headers of all frontal chest films and of all broken files, and a line on what is left out."""
    files = [file for file in label_csv.walk(root, _may_be) if file.suffix.lower() in _SUFFIXES or _is_dicom(file)]
    if not files:
        raise DataError(f"{root}: no films found: it holds no DICOM file")
    read = [_header(file) for file in files]
    barred = collections.Counter(header.barred for header in read if header.barred)
    if barred:
        why = ", ".join(f"{n:,} {reason}" for reason, n in sorted(barred.items()))
        report(f"{root}: {sum(barred.values()):,} files are no frontal chest films and are left out: {why}")
    return {header.file: header for header in read if not header.barred}


def _may_be(file: Path) -> bool:
    return file.suffix.lower() not in {".csv", ".txt", ".json", ".png", ".jpg", ".jpeg", ".zip"}


def _is_dicom(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            opened.seek(_MAGIC_AT)
            return opened.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _header(file: Path) -> _Header:
    import pydicom

    dicom_pixels.quieten()
    if not _is_dicom(file):
        return _Header(file, broken=f"{file}: not a readable DICOM film (no DICM at byte {_MAGIC_AT})")
    try:
        with dicom_pixels.refusing(file):
            meta = pydicom.filereader.read_file_meta_info(file)
            if meta.get("MediaStorageSOPClassUID") == _DIRECTORY:
                return _Header(file, barred="directory")
            dicom_pixels.check_syntax(file)
            tags = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
            if not _text(tags, "Modality"):
                return _Header(file, broken=f"{file}: not a readable DICOM film (it names no modality)")
            barred = _barred(tags)
            if barred:
                return _Header(file, barred=barred)
            dicom_pixels.check_size(file, int(tags.Rows), int(tags.Columns))
            return _Header(
                file,
                uid=_text(tags, "SOPInstanceUID"),
                patient=_text(tags, "PatientID"),
                view=csv_table.view(_text(tags, "ViewPosition")),
                side=min(int(tags.Rows), int(tags.Columns)),
            )
    except DataError as error:
        return _Header(file, broken=str(error))


def _barred(tags: Any) -> str:
    """Why the film is no frontal chest film for a person's eyes; empty where it is one, or says nothing of it."""
    modality, view = _text(tags, "Modality"), _text(tags, "ViewPosition")
    part = _text(tags, "BodyPartExamined").upper()
    if modality not in _MODALITIES:
        return f"of modality {modality[:16]}"
    if view and not csv_table.view(view):
        return f"of view {view[:16]}"
    if part and not any(word in part for word in _CHEST):
        return f"of {part[:16]}"
    return "for processing" if _text(tags, "PresentationIntentType") == "FOR PROCESSING" else ""


def _text(tags: Any, name: str) -> str:
    return str(tags.get(name) or "").strip()


def _size(header: _Header) -> int:
    if header.broken:
        raise DataError(header.broken)
    return header.side


def _report_assumptions(root: Path, films: Sequence[Film], report: Callable[[str], None]) -> None:
    n_own = sum(film.patient_id.startswith(f"{film.source}:") for film in films)
    if n_own:
        report(
            f"{root}: warning: {n_own:,} films name no patient and count as one patient each, so that one person's "
            "films may stand on two sides of the split"
        )
    label_csv.report_unlabelled(root, [film.findings for film in films], report)
    if all(math.isnan(value) for film in films for value in film.findings):
        report(f"{root}: warning: no film has a label")
