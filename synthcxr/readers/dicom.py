"""Read DICOM films: CR and DX files in any folders, with a CSV file of labels.

Only pixels, size and view of a file are used; no other tag is passed on. Patients and films are named by keyed hashes
(HMAC-SHA256 with a secret of the user), so that nobody can identify a patient in the manifest by trying all numbers.
"""

from __future__ import annotations

import collections
import functools
import hashlib
import hmac
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from synthcxr.data.films import Film
from synthcxr.data.findings import LABEL_SEPARATOR, UNKNOWN_FINDINGS
from synthcxr.data.number_format import format_quantity
from synthcxr.errors import ConfigError, DataError
from synthcxr.readers import csv_table, dicom_headers, dicom_pixels, film_files, label_csv
from synthcxr.readers.csv_table import CsvTable
from synthcxr.readers.dicom_headers import DicomHeader, read_headers
from synthcxr.readers.reader import Reader, describe_options
from synthcxr.storage import guarded_files

_PLACEHOLDER_PATIENT = re.compile(
    r"anon(ymous|ymized|ymised|ym)?|de-?identified|unknown|none|null|removed|n/?a|patient|[0x]+", re.IGNORECASE
)
_MIN_SALT_BYTES = 16


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
    others: str | None = None,
    view: str = "",
    modalities: list[str] | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Iterator[Film]:
    """Read the frontal CR and DX films below the folder `path` that its CSV file lists, in the order of the CSV file.

    `salt` is the file with the secret for the hashes. The table names a film by its path, its file name or its SOP
    Instance UID; its labels are parsed, and its rows merged, as in the folder reader, and its patients take precedence
    over those of the files. Without a table, the findings are unknown. Lateral views, other body parts, modalities that
    are not in `modalities` (default CR, DX, DR, RG, XR) and films for processing are left out; `report` receives a line
    about them, and about films that are turned, reduced or scaled. `view` is used if a file has no view. A broken file,
    or contradictory labels, becomes a film that cannot be read, which `prepare.on_bad` handles. Raises DataError for a
    missing folder or films and for a placeholder as the only patient, and ConfigError for an invalid option.
    """
    root = film_files.find_folder(path)
    if others not in {None, "absent", "unknown"}:
        raise ConfigError(f"others: {others!r} is neither absent nor unknown")
    if view not in {"", "PA", "AP"}:
        raise ConfigError(f"view: {view!r} is neither PA nor AP")
    hash_name = functools.partial(_hash_name, _read_salt(film_files.expand_home(salt)))
    aliases = label_csv.check_aliases(map or {})
    parse_labels = functools.partial(
        label_csv.parse_labels,
        separator=separator,
        aliases=aliases,
        others_absent=others != "unknown",
    )
    csv_file = label_csv.find_label_csv(root, csv)
    if csv_file is None:
        headers = read_headers(root, modalities, report)
        report(f"{root}: no table of labels: the findings of {format_quantity(len(headers), 'film')} are unknown")
        films = [
            _build_film(header, root, hash_name, source=source, view=view, findings=UNKNOWN_FINDINGS)
            for header in headers.values()
        ]
        used_headers = list(headers.values())
        are_named = [False] * len(used_headers)
    else:
        table = _read_table(csv_file, image_column, label_column, aliases, separator)
        rows = label_csv.read_findings(table, parse_labels, others_absent=others == "absent")
        labelled_films = label_csv.merge_rows(table, rows, report)
        headers = read_headers(root, modalities, report)
        file_of_uid = {header.uid: file for file, header in headers.items() if header.uid}
        files, table_rows = list(headers), [film.row for film in labelled_films]
        file_of_row = film_files.locate_films(root, files, table, table_rows, extra_names=file_of_uid, report=report)
        film_files.report_counts(root, table, table_rows, file_of_row, files=files, report=report)
        films = [
            _build_film(
                headers[file_of_row[film.row]],
                root,
                hash_name,
                source=source,
                view=view,
                findings=film.findings,
                patient=table["patient"][film.row] if "patient" in table else "",
                error=film.error,
            )
            for film in labelled_films
            if film.row in file_of_row
        ]
        located_films = [film for film in labelled_films if film.row in file_of_row]
        used_headers = [headers[file_of_row[film.row]] for film in located_films]
        are_named = ["patient" in table and table["patient"][film.row] != "" for film in located_films]
    _check_patients(root, used_headers, films, are_named, report)
    _report_changes(root, used_headers, report)
    _report_assumptions(root, films, report)
    return iter(films)


def _build_film(
    header: DicomHeader,
    root: Path,
    hash_name: Callable[[str], str],
    *,
    source: str,
    view: str,
    findings: tuple[float, ...],
    patient: str = "",
    error: str = "",
) -> Film:
    """Build the film of a header; `patient`, from the table, takes precedence over the Patient ID of the file."""
    film_hash = hash_name(header.uid or header.file.relative_to(root).as_posix())
    patient = csv_table.normalise_patient_id(patient or header.patient)
    unreadable = functools.partial(label_csv.refuse_contradiction, error) if error else None
    return Film(
        image_index=f"{source}-{film_hash}",
        patient_id=f"{source}-{hash_name(patient)}" if patient else f"{source}:{film_hash}",
        source=source,
        view=header.view or view,
        findings=findings,
        read=unreadable or functools.partial(dicom_pixels.read_pixels, header.file),
        read_size=unreadable or functools.partial(_get_size, header),
        origin=str(header.file),
        file=header.file,
        sex=header.sex,
        age=header.age,
    )


def matches_layout(path: Path) -> bool:
    """Return whether the folder has a DICOM file; reads the first bytes of files until one matches."""
    return dicom_headers.contains_dicom(path)


def _read_salt(file: Path) -> bytes:
    try:
        key = guarded_files.read_bytes(file, "a salt").strip()
    except DataError as error:
        raise ConfigError(
            f"salt: {error}; create it with `openssl rand -hex 32 > {file}` and keep "
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


def _read_table(
    file: Path, image_column: str | None, label_column: str | None, aliases: Mapping[str, str], separator: str
) -> CsvTable:
    image_columns = (*label_csv.IMAGE_COLUMNS, "SOPInstanceUID", "sop_instance_uid", "dicom_id")
    return label_csv.read_table(
        file,
        required={"image": (image_column,) if image_column else image_columns},
        labels=(label_column,) if label_column else label_csv.LABEL_COLUMNS,
        optional={"patient": label_csv.PATIENT_COLUMNS},
        aliases=aliases,
        separator=separator,
    )


def _report_changes(root: Path, headers: Sequence[DicomHeader], report: Callable[[str], None]) -> None:
    for change, n in collections.Counter(change for header in headers for change in header.changes).items():
        report(f"{root}: warning: {n:,} {change}")


def _check_patients(
    root: Path,
    headers: Sequence[DicomHeader],
    films: Sequence[Film],
    are_named: Sequence[bool],
    report: Callable[[str], None],
) -> None:
    """Raise DataError if the Patient IDs of all films are placeholders, and warn if some are or if all films have one.

    `are_named` says for which films the table names the patient. A Patient ID is never quoted.
    """
    n_placeholders = sum(
        _PLACEHOLDER_PATIENT.fullmatch(header.patient) is not None and not named
        for header, named in zip(headers, are_named, strict=True)
    )
    n_patients = len({film.patient_id for film in films})
    remedy = "add a column patient_id to the table of labels; it takes precedence over the Patient ID of the files"
    if len(films) > 1 and n_placeholders == len(films):
        raise DataError(
            f"{root}: the Patient ID of all {len(films):,} films is a placeholder of de-identification; {remedy}"
        )
    if n_placeholders > 1:
        report(
            f"{root}: warning: the Patient ID of {format_quantity(n_placeholders, 'film')} is a placeholder; films of "
            f"one placeholder count as one patient; {remedy}"
        )
    elif len(films) > 1 and n_patients == 1:
        report(
            f"{root}: warning: all {len(films):,} films have one Patient ID; if de-identification wrote it, {remedy}"
        )


def _get_size(header: DicomHeader) -> int:
    if header.error:
        raise DataError(header.error)
    return header.side


def _report_assumptions(root: Path, films: Sequence[Film], report: Callable[[str], None]) -> None:
    n_without_patient = sum(film.patient_id.startswith(f"{film.source}:") for film in films)
    if n_without_patient:
        report(
            f"{root}: warning: no patient ID for {format_quantity(n_without_patient, 'film')}: each counts as one"
            " patient, so films of one person may be in two splits"
        )
    label_csv.report_unknown_findings(root, [film.findings for film in films], report)
    if all(math.isnan(value) for film in films for value in film.findings):
        report(f"{root}: warning: no film has a label")


READER = Reader(
    name="dicom",
    films="CR and DX files in any folders, and a table of labels",
    read=read_films,
    options=describe_options(
        *("path", "source", "csv", "image_column", "label_column", "separator", "map", "others", "view"),
        salt="The file with the secret that names patients and films. `init` creates it.",
        modalities="The modalities that are read. By default CR, DX, DR, RG and XR.",
    ),
    matches=matches_layout,
    salt_option="salt",
)
