"""Read the CSV file of a film source: its columns by role, its findings, and line numbers for messages."""

from __future__ import annotations

import csv
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path

from synthcxr.data.findings import UNKNOWN_FINDINGS
from synthcxr.errors import DataError

ColumnNames = Mapping[str, tuple[str, ...]]
"""The names that the column of each role may have."""


@dataclasses.dataclass(frozen=True)
class CsvTable:
    """The rows of a CSV file as text: `columns` by role, and in `lines` the line of the file at which each row ends."""

    path: Path
    lines: Sequence[int]
    columns: Mapping[str, Sequence[str]]

    def __len__(self) -> int:
        return len(self.lines)

    def __contains__(self, role: str) -> bool:
        return role in self.columns

    def __getitem__(self, role: str) -> Sequence[str]:
        return self.columns[role]

    def row_error(self, row: int, reason: str) -> DataError:
        """Build the error for a row (0 .. len - 1), with file and line."""
        return DataError(f"{self.path}:{self.lines[row]}: {reason}")


def read_table(path: Path, *, required: ColumnNames, optional: ColumnNames | None = None) -> CsvTable:
    """Read the columns of the given roles; column names match in any case.

    Optional roles without a column are left out, and so are rows without text. Column names that contain commas (the
    NIH's OriginalImage[Width,Height]) may be quoted or not. Raises DataError for a file that is absent, empty or not a
    CSV file, for a required role without a column, and for a row with too few fields.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _parse(path, file, required=required, optional=optional or {})
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not readable as CSV ({error})") from error


def _parse(path: Path, file: Iterable[str], *, required: ColumnNames, optional: ColumnNames) -> CsvTable:
    reader = csv.reader(file)
    header = next(reader, [])
    first_row = next(reader, [])
    if len(first_row) > len(header):
        header = [part for name in header for part in name.split(",")]
    folded_header = [name.strip().casefold() for name in header]
    positions = {role: _find_column(folded_header, names) for role, names in {**required, **optional}.items()}
    missing = [required[role][0] for role in required if positions[role] is None]
    if missing:
        raise DataError(f"{path}: columns missing: {', '.join(missing)}")
    present = {role: position for role, position in positions.items() if position is not None}
    lines: list[int] = []
    rows: list[list[str]] = []
    for fields in itertools.chain([first_row], reader):
        if any(fields):
            if len(fields) <= max(present.values()):
                raise DataError(f"{path}:{reader.line_num}: {len(fields)} fields, but the header has {len(header)}")
            lines.append(reader.line_num)
            rows.append(fields)
    columns = {role: [text.strip() for text in map(itemgetter(position), rows)] for role, position in present.items()}
    return CsvTable(path, lines, columns)


def _find_column(folded_header: Sequence[str], names: tuple[str, ...]) -> int | None:
    return next((folded_header.index(name.casefold()) for name in names if name.casefold() in folded_header), None)


def parse_findings(table: CsvTable, parse_labels: Callable[[str], tuple[float, ...]]) -> list[tuple[float, ...]]:
    """Parse the labels of each row to its 14 findings, unknown where the field is empty; DataError with the row."""
    findings_of_text: dict[str, tuple[float, ...]] = {"": UNKNOWN_FINDINGS}
    for row, text in enumerate(table["labels"]):
        if text not in findings_of_text:
            try:
                findings_of_text[text] = parse_labels(text)
            except DataError as error:
                raise table.row_error(row, str(error)) from error
    return [findings_of_text[text] for text in table["labels"]]


def refuse_duplicates(table: CsvTable) -> None:
    """Raise DataError with the row if a row names no film, or a film that an earlier row names."""
    names: set[str] = set()
    for row, name in enumerate(table["image"]):
        if not name:
            raise table.row_error(row, "the row names no film")
        if name in names:
            raise table.row_error(row, f"{name} is listed twice; keep one row per film")
        names.add(name)


def normalise_patient_id(patient: str) -> str:
    """Remove leading zeros from a numeric patient ID, so that 00061 and 61 are the same patient."""
    return str(int(patient)) if patient.isascii() and patient.isdigit() else patient


def parse_view(text: str) -> str:
    """Return the view position "PA" or "AP", or "" for any other text."""
    return text.upper() if text.upper() in {"PA", "AP"} else ""
