"""Find the CSV file of labels among films, and match its columns and rows to findings and films."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from synthcxr.data.findings import canonicalize_finding, to_multi_hot
from synthcxr.errors import ConfigError, DataError
from synthcxr.readers.csv_table import CsvTable

IMAGE_COLUMNS = ("Image Index", "image", "image_path", "file_name", "filename", "file", "path")
LABEL_COLUMNS = ("Finding Labels", "labels", "label", "findings", "finding", "class")
PATIENT_COLUMNS = ("Patient ID", "patient_id", "patientid", "patient")
VIEW_COLUMNS = ("View Position", "view_position", "view")
_USUAL_FILE_NAMES = ("labels.csv", "metadata.csv")


def find_label_csv(root: Path, csv: str | None) -> Path | None:
    """Return the CSV file `csv`, else the only one, else the one with a usual name; None if there is no CSV file."""
    if csv is not None:
        return root / csv
    csv_files = sorted(root.glob("*.csv"))
    usual_files = [file for file in csv_files if file.name in _USUAL_FILE_NAMES]
    if len(csv_files) > 1 and len(usual_files) != 1:
        names = ", ".join(file.name for file in csv_files)
        raise DataError(f"{root}: several CSV files ({names}); choose one with the option `csv`")
    return next(iter(usual_files or csv_files), None)


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
    """Parse label text to a multi-hot vector; findings that are not named are 0 if `others_absent`, else NaN."""
    values = to_multi_hot([text] if separator is None else text.split(separator), aliases)
    if others_absent or not any(values):
        return values
    return tuple(value or math.nan for value in values)


def walk_files(folder: Path, accepts: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield the accepted files in and below a folder, sorted, without hidden ones; links are followed once."""
    yield from _walk(folder, accepts, visited=set())


def _walk(folder: Path, accepts: Callable[[Path], bool], *, visited: set[Path]) -> Iterator[Path]:
    if folder.resolve() in visited:
        return
    visited.add(folder.resolve())
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith((".", "__MACOSX")):
            continue
        if entry.is_dir():
            yield from _walk(entry, accepts, visited=visited)
        elif accepts(entry):
            yield entry


def locate_films(
    root: Path, files: Sequence[Path], table: CsvTable, *, extra_names: Mapping[str, Path] | None = None
) -> dict[int, Path]:
    """Find the file of each row: by its path below the root, else by its file name with or without the suffix.

    `extra_names` are other names that a row may use for a file. Rows without a file are left out. Raises DataError for
    a row that matches several files.
    """
    by_path = {file.relative_to(root).as_posix(): file for file in files} | dict(extra_names or {})
    by_name: dict[str, list[Path]] = {}
    for file in files:
        for name in {file.name, file.stem}:
            by_name.setdefault(name, []).append(file)
    file_of_row: dict[int, Path] = {}
    for row, name in enumerate(table["image"]):
        matches = [by_path[name]] if name in by_path else by_name.get(name, [])
        if len(matches) > 1:
            raise table.row_error(row, f"{name} matches several files: {matches[0]}, {matches[1]}")
        if matches:
            file_of_row[row] = matches[0]
    return file_of_row


def report_counts(root: Path, table: CsvTable, *, n_located: int, n_files: int, report: Callable[[str], None]) -> None:
    """Report how many rows have no file and how many files have no row; DataError if no row has a file."""
    if not n_located:
        raise DataError(
            f"{root}: no films found: none of the {len(table):,} films in {table.path.name} is below this folder"
        )
    if n_located < len(table):
        report(f"{root}: {len(table) - n_located:,} of {len(table):,} listed films are absent, {n_located:,} found")
    if n_located < n_files:
        report(f"{root}: {n_files - n_located:,} image files are not listed in {table.path.name} and are left out")


def report_unknown_findings(root: Path, findings: Collection[tuple[float, ...]], report: Callable[[str], None]) -> None:
    """Report how many films have unknown findings."""
    n_unknown = sum(any(math.isnan(value) for value in values) for values in findings)
    if n_unknown:
        report(
            f"{root}: {n_unknown:,} films have unknown findings (`others: absent` treats findings without a label as "
            "absent)"
        )
