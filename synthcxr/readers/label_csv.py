"""Find the table of labels among films, and read its findings: one per film, from text or a column per finding."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from synthcxr.data import left_out
from synthcxr.data.findings import (
    FINDINGS,
    LABEL_SEPARATOR,
    NO_FINDING,
    UNKNOWN_FINDINGS,
    ContradictoryLabelsError,
    canonicalize_finding,
    to_multi_hot,
)
from synthcxr.data.left_out import Reason
from synthcxr.data.number_format import format_quantity
from synthcxr.errors import ConfigError, DataError
from synthcxr.readers import csv_table
from synthcxr.readers.csv_table import ColumnNames, CsvTable

IMAGE_COLUMNS = ("Image Index", "image", "image_path", "file_name", "filename", "file", "path", "image_id", "img")
LABEL_COLUMNS = ("Finding Labels", "labels", "label", "findings", "finding", "class")
PATIENT_COLUMNS = ("Patient ID", "patientid", "patient", "subject_id")
VIEW_COLUMNS = ("View Position", "ViewPosition", "view", "projection", "Frontal/Lateral", "frontal_lateral")
_USUAL_FILE_NAMES = ("labels", "metadata")
_TABLE_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".jsonl")
_COLUMN_ALIASES = {"Pleural Effusion": "Effusion", "Pleural Thickening": "Pleural_Thickening"}
_VALUE_OF_TEXT = {
    **dict.fromkeys(("1", "true", "yes"), 1.0),
    **dict.fromkeys(("0", "false", "no"), 0.0),
    **dict.fromkeys(("", "-1", "nan"), math.nan),
}


@dataclasses.dataclass(frozen=True)
class LabelledFilm:
    """The labels of one film: the first of its rows, its findings, and in `error` why they cannot be used."""

    row: int
    findings: tuple[float, ...]
    error: str = ""


def find_label_csv(root: Path, csv: str | None) -> Path | None:
    """Return the table `csv`, else the only one, else the one with a usual name; None if there is no table.

    A table is a CSV file, which may be compressed (.gz), or a file of JSON lines (.jsonl).
    """
    if csv is not None:
        return root / csv
    tables = list_tables(root)
    usual_tables = [file for file in tables if file.name.split(".")[0].lower() in _USUAL_FILE_NAMES]
    if len(tables) > 1 and len(usual_tables) != 1:
        names = ", ".join(file.name for file in tables)
        raise DataError(f"{root}: several CSV files ({names}); choose one with the option `csv`")
    return next(iter(usual_tables or tables), None)


def list_tables(root: Path) -> list[Path]:
    """List the tables in a folder, sorted, without hidden ones."""
    return sorted(file for file in root.glob("[!.]*") if file.name.lower().endswith(_TABLE_SUFFIXES) and file.is_file())


def check_aliases(aliases: Mapping[str, str]) -> dict[str, str]:
    """Check that each target of the option `map` is a finding; ConfigError, which begins with the option, if not."""
    for name, target in aliases.items():
        try:
            canonicalize_finding(str(target))
        except DataError as error:
            raise ConfigError(f"map.{name}: {error}") from error
    return {str(name): str(target) for name, target in aliases.items()}


def parse_labels(
    text: str, *, separator: str | None, aliases: Mapping[str, str], others_absent: bool
) -> tuple[float, ...]:
    """Parse label text to a multi-hot vector; findings that are not named are 0 if `others_absent`, else NaN.

    Empty parts, as after a trailing separator, are ignored; text without a name is unknown.
    """
    names = [text] if separator is None else [name for name in text.split(separator) if name.strip()]
    if not names:
        return UNKNOWN_FINDINGS
    values = to_multi_hot(names, aliases)
    if others_absent or not any(values):
        return values
    return tuple(value or math.nan for value in values)


def read_table(
    path: Path,
    *,
    required: ColumnNames,
    labels: tuple[str, ...],
    optional: ColumnNames,
    aliases: Mapping[str, str],
    separator: str = LABEL_SEPARATOR,
) -> CsvTable:
    """Read a table whose labels are in one column (role "labels") or in one column of 0 and 1 per finding.

    Raises DataError like `csv_table.read_table`, and if the table has neither.
    """
    finding_columns = name_finding_columns(aliases)
    columns = {**required, "labels": labels, **optional, **finding_columns}
    table = csv_table.read_table(path, required={}, optional=columns, list_separator=separator)
    has_labels = "labels" in table or any(role in table for role in finding_columns)
    missing = [
        role for role in ("image", "labels", *required) if role not in table and not (role == "labels" and has_labels)
    ]
    if missing:
        csv_table.read_table(path, required={role: columns[role] for role in missing}, list_separator=separator)
        raise DataError(f"{path}: its header mixes commas, semicolons or tabs; use one of them in all lines")
    csv_table.refuse_nameless_rows(table)
    return table


def name_finding_columns(aliases: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the names that the column of each finding, and of "No Finding", may have; the roles are the findings."""
    names = {name: [name] for name in (*FINDINGS, NO_FINDING)}
    for alias, target in {**_COLUMN_ALIASES, **aliases}.items():
        names[canonicalize_finding(target)].append(alias)
    return {role: tuple(columns) for role, columns in names.items()}


def read_findings(
    table: CsvTable, parse_text: Callable[[str], tuple[float, ...]], *, others_absent: bool = False
) -> list[LabelledFilm]:
    """Read the findings of each row: unknown where the field is empty, an error in the row where they contradict.

    `parse_text` parses the label column; `others_absent` applies to findings without a column. Raises DataError with
    the row for an unknown finding or value.
    """
    if "labels" in table:
        cache: dict[str, tuple[float, ...]] = {"": UNKNOWN_FINDINGS}

        def read_row(row: int) -> tuple[float, ...]:
            text = table["labels"][row]
            if text not in cache:
                cache[text] = parse_text(text)
            return cache[text]
    else:

        def read_row(row: int) -> tuple[float, ...]:
            return _read_finding_columns(table, row, others_absent=others_absent)

    return [read_row_findings(table, row, read_row) for row in range(len(table))]


def read_row_findings(table: CsvTable, row: int, read_row: Callable[[int], tuple[float, ...]]) -> LabelledFilm:
    """Read the findings of one row; a contradiction becomes its error, another DataError is raised with the row."""
    try:
        return LabelledFilm(row, read_row(row))
    except ContradictoryLabelsError as error:
        return LabelledFilm(row, UNKNOWN_FINDINGS, error=str(table.row_error(row, str(error))))
    except DataError as error:
        raise table.row_error(row, str(error)) from error


def _read_finding_columns(table: CsvTable, row: int, *, others_absent: bool) -> tuple[float, ...]:
    values = {}
    for role in (*FINDINGS, NO_FINDING):
        if role in table:
            text = table[role][row].removesuffix(".0").lower()
            if text not in _VALUE_OF_TEXT:
                raise DataError(f"{role} is {text!r}; expected 1, 0, -1 or blank")
            values[role] = _VALUE_OF_TEXT[text]
    return combine_finding_values(values, others_absent=others_absent)


def combine_finding_values(values: Mapping[str, float], *, others_absent: bool = False) -> tuple[float, ...]:
    """Combine values by finding, and of "No Finding", to a vector; ContradictoryLabelsError if both are present."""
    if values.get(NO_FINDING) == 1.0:
        if present := [name for name, value in values.items() if value == 1.0 and name != NO_FINDING]:
            raise ContradictoryLabelsError(f"both {NO_FINDING} and {present[0]} are labelled present")
        return to_multi_hot((NO_FINDING,))
    return tuple(values.get(finding, 0.0 if others_absent else math.nan) for finding in FINDINGS)


def merge_rows(table: CsvTable, rows: Sequence[LabelledFilm], report: Callable[[str], None]) -> list[LabelledFilm]:
    """Merge the rows of each film, such as one per box or reader, to their union; report how many have several.

    A finding is present if any row says so, absent if a row says that and none says present, else unknown. Raises
    DataError for a film that is listed for two patients.
    """
    groups: dict[str, list[LabelledFilm]] = {}
    for row in rows:
        groups.setdefault(table["image"][row.row], []).append(row)
    merged = [_merge_group(table, group) for group in groups.values()]
    several = [group for group in groups.values() if len(group) > 1]
    if several:
        n_different = sum(len({repr(row.findings) for row in group}) > 1 for group in several)
        report(
            f"{table.path}: merged the rows of {format_quantity(len(several), 'film')} with several rows: a"
            f" finding is present if any row says so; the rows of {format_quantity(n_different, 'film')} differ"
        )
    return merged


def _merge_group(table: CsvTable, group: Sequence[LabelledFilm]) -> LabelledFilm:
    if len(group) == 1:
        return group[0]
    if "patient" in table:
        patients = {csv_table.normalise_patient_id(table["patient"][row.row]) for row in group} - {""}
        if len(patients) > 1:
            raise table.row_error(
                group[-1].row, f"{table['image'][group[0].row]} is listed for two patients; keep the rows of one"
            )
    findings = tuple(
        max((value for value in values if not math.isnan(value)), default=math.nan)
        for values in zip(*(row.findings for row in group), strict=True)
    )
    return LabelledFilm(group[0].row, findings, error=next((row.error for row in group if row.error), ""))


def leave_out_lateral(
    table: CsvTable, films: Sequence[LabelledFilm], report: Callable[[str], None]
) -> list[LabelledFilm]:
    """Leave out the films whose view, in the table, is lateral; report how many."""
    if "view" not in table:
        return list(films)
    lateral = [film for film in films if csv_table.is_lateral(table["view"][film.row])]
    if not lateral:
        return list(films)
    line = f"{table.path}: left out {format_quantity(len(lateral), 'lateral film')}"
    left_out.report_left_out(report, line, Reason.NOT_FRONTAL, len(lateral), table["image"][lateral[0].row])
    rows = {film.row for film in lateral}
    return [film for film in films if film.row not in rows]


def refuse_contradiction(message: str) -> NoReturn:
    """Raise ContradictoryLabelsError; as the function that reads a film, it makes the film unreadable."""
    raise ContradictoryLabelsError(message)


def report_unknown_findings(root: Path, findings: Collection[tuple[float, ...]], report: Callable[[str], None]) -> None:
    """Report how many films have unknown findings."""
    n_unknown = sum(any(math.isnan(value) for value in values) for values in findings)
    if n_unknown:
        report(
            f"{root}: unknown findings in {format_quantity(n_unknown, 'film')} (`others: absent` treats"
            " findings without a label as absent)"
        )
