"""Read films from any folder: one sub-folder per class, or a CSV file with the labels of each image."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from synthcxr.data import images
from synthcxr.data.films import Film
from synthcxr.data.findings import LABEL_SEPARATOR, UNKNOWN_FINDINGS
from synthcxr.data.number_format import format_quantity
from synthcxr.errors import ConfigError, DataError
from synthcxr.readers import csv_table, film_files, label_csv
from synthcxr.readers.csv_table import CsvTable
from synthcxr.readers.label_csv import LabelledFilm
from synthcxr.readers.reader import Reader, describe_options

_UNLABELLED_FOLDERS = {"images", "image", "img", "imgs", "films", "png", "jpg", "data", "train", "test", "val", "valid"}
"""Folder names that name no class. Films in no other folders, without a table, have unknown findings."""


@dataclasses.dataclass(frozen=True)
class _Entry:
    """One film of the folder; `patient` is empty if it is unknown, and `error` says why its labels cannot be used."""

    image_index: str
    file: Path
    findings: tuple[float, ...]
    patient: str
    view: str
    error: str = ""
    sex: str = ""
    age: float = math.nan


def read_films(
    path: str,
    *,
    source: str = "folder",
    csv: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    separator: str = LABEL_SEPARATOR,
    map: Mapping[str, str] | None = None,
    others: str | None = None,
    patient_column: str | None = None,
    patient_pattern: str | None = None,
    view: str = "",
    view_column: str | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Iterator[Film]:
    """Read the images below the folder `path`, with labels from its table, else from the folder names.

    The table is a CSV file or JSON lines. Columns are found by their usual names unless an option names them. Labels
    are in one column, split at `separator`, or in one column of 0 and 1 per finding; they match in any case, and `map`
    maps other names to findings. Several rows of a film are merged. Without a table and without class folders, the
    findings are unknown. Masks are left out. A film with contradictory labels cannot be read, which `prepare.on_bad`
    handles. `others` is the status of the findings that a label does not name:
    "absent" (default with a CSV file) or "unknown" (default with class folders, which name one finding of 14).
    Sex and age come from the columns sex (or gender) and age of the table, also with the names of the NIH, if any.
    Patients come from a column or from the first group of `patient_pattern` in the file name. `report` receives a line
    about everything that is absent, left out or assumed. Raises DataError for missing films or columns and unknown
    findings, and ConfigError for an invalid option; its message begins with the option.
    """
    root = film_files.find_folder(path)
    _check_options(others=others, view=view)
    pattern = _compile_pattern(patient_pattern)
    aliases = label_csv.check_aliases(map or {})
    files = _find_images(root, report)
    csv_file = label_csv.find_label_csv(root, csv)
    if csv_file is None:
        parse_labels = functools.partial(
            label_csv.parse_labels, separator=None, aliases=aliases, others_absent=others == "absent"
        )
        if all(_is_unlabelled(root, file) for file in files):
            report(f"{root}: no table and no class folders: findings of {format_quantity(len(files), 'film')} unknown")
            entries: Iterable[_Entry] = (
                _Entry(file.relative_to(root).as_posix(), file, UNKNOWN_FINDINGS, "", "") for file in files
            )
        else:
            entries = _read_class_folders(root, files, parse_labels)
    else:
        parse_labels = functools.partial(
            label_csv.parse_labels, separator=separator, aliases=aliases, others_absent=others != "unknown"
        )
        columns = {
            "image": (image_column,) if image_column else label_csv.IMAGE_COLUMNS,
            "patient": (patient_column,) if patient_column else label_csv.PATIENT_COLUMNS,
            "view": (view_column,) if view_column else label_csv.VIEW_COLUMNS,
        }
        required = {"image"} | {role for role, name in (("patient", patient_column), ("view", view_column)) if name}
        table = label_csv.read_table(
            csv_file,
            required={role: columns[role] for role in columns if role in required},
            labels=(label_column,) if label_column else label_csv.LABEL_COLUMNS,
            optional={**columns, "sex": csv_table.SEX_COLUMNS, "age": csv_table.AGE_COLUMNS},
            aliases=aliases,
            separator=separator,
        )
        labelled_rows = label_csv.read_findings(table, parse_labels, others_absent=others == "absent")
        entries = _read_table_rows(root, files, table, labelled_rows, report=report)
    films = [_build_film(entry, source=source, pattern=pattern, view=view) for entry in entries]
    _report_assumptions(root, films, report)
    return iter(films)


def matches_layout(path: Path) -> bool:
    """Return whether the folder contains an image."""
    return any(True for _ in film_files.walk_files(path, film_files.is_image))


def _check_options(*, others: str | None, view: str) -> None:
    if others not in {None, "absent", "unknown"}:
        raise ConfigError(f"others: {others!r} is neither absent nor unknown")
    if view not in {"", "PA", "AP"}:
        raise ConfigError(f"view: {view!r} is neither PA nor AP")


def _compile_pattern(patient_pattern: str | None) -> re.Pattern[str] | None:
    try:
        return None if patient_pattern is None else re.compile(patient_pattern)
    except re.error as error:
        raise ConfigError(f"patient_pattern: {patient_pattern!r} is not a valid regular expression: {error}") from error


def _find_images(root: Path, report: Callable[[str], None]) -> list[Path]:
    files = film_files.find_images(root, report)
    if not files:
        suffixes = ", ".join(sorted(film_files.IMAGE_SUFFIXES))
        raise DataError(f"{root}: no films found: the folder contains no image ({suffixes})")
    return files


def _is_unlabelled(root: Path, file: Path) -> bool:
    return all(name.lower() in _UNLABELLED_FOLDERS for name in file.relative_to(root).parts[:-1])


def _read_class_folders(
    root: Path, files: Sequence[Path], parse_labels: Callable[[str], tuple[float, ...]]
) -> Iterator[_Entry]:
    findings: dict[Path, tuple[float, ...]] = {}
    for file in files:
        if file.parent == root:
            raise DataError(
                f"{file}: the film is in no class folder; make one folder per finding, or a CSV file of labels"
            )
        if file.parent not in findings:
            findings[file.parent] = _parse_class_folder(root, file.parent, parse_labels)
        yield _Entry(file.relative_to(root).as_posix(), file, findings[file.parent], patient="", view="")


def _parse_class_folder(
    root: Path, folder: Path, parse_labels: Callable[[str], tuple[float, ...]]
) -> tuple[float, ...]:
    """Parse the closest folder name that is a finding, so that train/NORMAL and Edema/series-1 are both understood."""
    errors = []
    for name in reversed(folder.relative_to(root).parts):
        try:
            return parse_labels(name)
        except DataError as error:
            errors.append(error)
    raise DataError(f"{folder}: {errors[0]}; rename the folder, or map its name to a finding with the option `map`")


def _read_table_rows(
    root: Path,
    files: Sequence[Path],
    table: CsvTable,
    labelled_rows: Sequence[LabelledFilm],
    *,
    report: Callable[[str], None],
) -> Iterator[_Entry]:
    labelled_films = label_csv.merge_rows(table, labelled_rows, report)
    rows = [film.row for film in labelled_films]
    file_of_row = film_files.locate_films(root, files, table, rows, report=report)
    film_files.report_counts(root, table, rows, file_of_row, files=files, report=report)
    located_films = [film for film in labelled_films if film.row in file_of_row]
    for film in label_csv.leave_out_lateral(table, located_films, report):
        name, file = table["image"][film.row], file_of_row[film.row]
        patient = table["patient"][film.row] if "patient" in table else ""
        view = csv_table.parse_view(table["view"][film.row]) if "view" in table else ""
        sex, age = csv_table.read_sex_and_age(table, film.row)
        yield _Entry(name, file, film.findings, patient, view, film.error, sex, age)


def _build_film(entry: _Entry, *, source: str, pattern: re.Pattern[str] | None, view: str) -> Film:
    patient = csv_table.normalise_patient_id(entry.patient)
    if pattern is not None and not patient:
        match = pattern.search(entry.file.name)
        patient = "" if match is None else csv_table.normalise_patient_id(match[1 if pattern.groups else 0] or "")
        if not patient:
            raise DataError(f"{entry.file}: patient_pattern {pattern.pattern!r} finds no patient in the file name")
    unreadable = functools.partial(label_csv.refuse_contradiction, entry.error) if entry.error else None
    return Film(
        image_index=entry.image_index,
        patient_id=patient or _film_as_patient(source, entry.image_index),
        source=source,
        view=entry.view or view,
        findings=entry.findings,
        read=unreadable or functools.partial(images.read, entry.file),
        read_size=unreadable or functools.partial(images.read_shorter_side, entry.file),
        origin=str(entry.file),
        file=entry.file,
        sex=entry.sex,
        age=entry.age,
    )


def _film_as_patient(source: str, image_index: str) -> str:
    return f"{source}:{image_index}"


def _report_assumptions(root: Path, films: Sequence[Film], report: Callable[[str], None]) -> None:
    n_without_patient = sum(film.patient_id == _film_as_patient(film.source, film.image_index) for film in films)
    if n_without_patient:
        report(
            f"{root}: warning: no patient ID for {format_quantity(n_without_patient, 'film')}: each counts as one"
            " patient, so films of one person may be in two splits; give patient_column or patient_pattern"
        )
    label_csv.report_unknown_findings(root, [film.findings for film in films], report)


READER = Reader(
    name="folder",
    films="one folder per finding, or a table of images and labels",
    read=read_films,
    options=describe_options(
        *("path", "source", "csv", "image_column", "label_column", "separator", "map", "others", "view"),
        patient_column="The column of the table that names the patient. By default it is recognised.",
        patient_pattern="A regular expression that matches the patient in the name of a film.",
        view_column="The column of the table that has the view. By default it is recognised.",
    ),
    matches=matches_layout,
)
