"""Read the table of a film source (CSV or JSON lines): its columns by role, and line numbers for messages."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path

from synthcxr.data.findings import LABEL_SEPARATOR
from synthcxr.errors import DataError
from synthcxr.storage import csv_files, json_files

ColumnNames = Mapping[str, tuple[str, ...]]
"""The names that the column of each role may have."""
_SEPARATORS = (",", ";", "\t")
_NUMBER = re.compile(r"[0-9]{1,4000}(\.0*)?")
_AGE = re.compile(r"(\d{1,4}(?:\.\d{1,9})?)\s*([DWMY]?)", re.IGNORECASE)
_AGES_PER_YEAR = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0, "": 1.0}
_MAX_AGE_YEARS = 120
SEX_COLUMNS, AGE_COLUMNS = ("Patient Gender", "Patient Sex", "sex", "gender"), ("Patient Age", "age")
_NOT_LETTERS = re.compile(r"[^A-Z]+")
_VIEW_OF_PHRASE = {"POSTERO ANTERIOR": "PA", "ANTERO POSTERIOR": "AP"}
_VIEW_OF_WORD = (
    dict.fromkeys(("PA", "POSTEROANTERIOR"), "PA")
    | dict.fromkeys(("AP", "ANTEROPOSTERIOR"), "AP")
    | dict.fromkeys(("LATERAL", "LAT", "LL", "RL", "LLAT", "RLAT", "LLD", "RLD", "LLO", "RLO"), "LATERAL")
    | {"FRONTAL": "FRONTAL"}
)


@dataclasses.dataclass(frozen=True)
class CsvTable:
    """The rows of a table as text: `columns` by role, and in `lines` the line of the file at which each row ends."""

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


def read_table(
    path: Path, *, required: ColumnNames, optional: ColumnNames | None = None, list_separator: str = LABEL_SEPARATOR
) -> CsvTable:
    """Read the columns of the given roles; column names match in any case, with spaces or underscores.

    The fields are separated by commas, semicolons or tabs: by the one with which most columns are found. A name that
    ends in .gz is decompressed, and .jsonl is one JSON object per line, whose lists are joined by `list_separator`.
    Optional roles without a column are left out, and so are rows without text. Column names that contain commas (the
    NIH's OriginalImage[Width,Height]) may be quoted or not. Raises DataError for a file that is absent, empty or not a
    table, for a required role without a column, and for a row with too few fields or with text beyond the last column.
    """
    with csv_files.open_lines(path) as lines:
        if path.name.removesuffix(".gz").endswith(".jsonl"):
            return _parse_json_lines(path, lines, required, optional or {}, list_separator)
        header = next(lines, "")
        separator = _find_separator(header, {**required, **(optional or {})})
        return _parse(path, itertools.chain([header], lines), separator, required=required, optional=optional or {})


def _find_separator(header: str, columns: ColumnNames) -> str:
    """Find the separator with which the header contains most columns; a comma if several are equal."""

    def count_columns(separator: str) -> int:
        names = _fold_names(next(csv.reader([header], delimiter=separator), []))
        return sum(_find_column(names, columns[role]) is not None for role in columns)

    return max(_SEPARATORS, key=count_columns)


def _parse(
    path: Path, file: Iterable[str], separator: str, *, required: ColumnNames, optional: ColumnNames
) -> CsvTable:
    reader = csv.reader(file, delimiter=separator)
    header = next(reader, [])
    first_row = next((fields for fields in reader if any(fields)), [])
    if len(first_row) > len(header):
        header = [part for name in header for part in name.split(",")]
    folded_header = _fold_names(header)
    positions = {role: _find_column(folded_header, names) for role, names in {**required, **optional}.items()}
    _refuse_missing_columns(path, header, [role for role in required if positions[role] is None], required)
    present = {role: position for role, position in positions.items() if position is not None}
    lines: list[int] = []
    rows: list[list[str]] = []
    for fields in itertools.chain([first_row], reader):
        if any(fields):
            is_short, is_long = len(fields) <= max(present.values(), default=0), any(fields[len(header) :])
            if is_short or is_long:
                advice = f"; put a field that contains {separator!r} in quotation marks" if is_long else ""
                raise DataError(
                    f"{path}:{reader.line_num}: {len(fields)} fields, but the header has {len(header)}{advice}"
                )
            lines.append(reader.line_num)
            rows.append(fields)
    columns = {role: [text.strip() for text in map(itemgetter(position), rows)] for role, position in present.items()}
    return CsvTable(path, lines, columns)


def _parse_json_lines(
    path: Path, file: Iterable[str], required: ColumnNames, optional: ColumnNames, list_separator: str
) -> CsvTable:
    lines: list[int] = []
    records: list[dict[str, str]] = []
    for line, text in enumerate(file, start=1):
        if not text.strip():
            continue
        record = json_files.parse_json(text, f"{path}:{line}")
        if not isinstance(record, dict):
            raise DataError(f"{path}:{line}: expected a JSON object")
        lines.append(line)
        records.append({str(name): _format_value(value, list_separator) for name, value in record.items()})
    header = list(dict.fromkeys(name for record in records for name in record))
    folded_header = _fold_names(header)
    positions = {role: _find_column(folded_header, names) for role, names in {**required, **optional}.items()}
    _refuse_missing_columns(path, header, [role for role in required if positions[role] is None], required)
    columns = {
        role: [record.get(header[position], "") for record in records]
        for role, position in positions.items()
        if position is not None
    }
    return CsvTable(path, lines, columns)


def _format_value(value: object, list_separator: str) -> str:
    if isinstance(value, list):
        return list_separator.join(_format_value(part, list_separator) for part in value)
    return "" if value is None else str(value).strip()


def _refuse_missing_columns(
    path: Path, header: Sequence[str], missing_roles: Sequence[str], required: ColumnNames
) -> None:
    if missing_roles:
        missing, present = ", ".join(required[role][0] for role in missing_roles), ", ".join(header)
        raise DataError(f"{path}: columns missing: {missing}; the file has {present[:200] or 'none'}")


def _fold_names(names: Iterable[str]) -> list[str]:
    return [" ".join(name.replace("_", " ").casefold().split()) for name in names]


def _find_column(folded_header: Sequence[str], names: tuple[str, ...]) -> int | None:
    return next((folded_header.index(name) for name in _fold_names(names) if name in folded_header), None)


def refuse_nameless_rows(table: CsvTable) -> None:
    """Raise DataError with the row if a row names no film."""
    for row, name in enumerate(table["image"]):
        if not name:
            raise table.row_error(row, "the row names no film")


def normalise_patient_id(patient: str) -> str:
    """Write a numeric patient ID without leading zeros and decimals, so that 00061, 61 and 61.0 are one patient."""
    return str(int(patient.partition(".")[0])) if _NUMBER.fullmatch(patient) else patient


def read_sex_and_age(table: CsvTable, row: int) -> tuple[str, float]:
    """Read the sex ("F", "M" or "") and the age in years (or NaN) of a film from the columns sex and age, if any."""
    sex, age = (table[role][row] if role in table else "" for role in ("sex", "age"))
    return parse_sex(sex), parse_age(age)


def parse_sex(text: str) -> str:
    """Return "F" or "M" for a text such as "F" or "Male"; "" for any other."""
    return {"F": "F", "FEMALE": "F", "M": "M", "MALE": "M"}.get(text.strip().upper(), "")


def parse_age(text: str) -> float:
    """Return the age in years that a text such as "58", "058Y" or "006M" states; NaN for none or an impossible one."""
    match = _AGE.fullmatch(text.strip())
    years = math.nan if match is None else float(match[1]) / _AGES_PER_YEAR[match[2].upper()]
    return years if years <= _MAX_AGE_YEARS else math.nan


def parse_view(text: str) -> str:
    """Return the view position "PA" or "AP" that a text such as "PA ERECT" names; "" for none or several views."""
    views = _find_views(text) - {"FRONTAL"}
    return next(iter(views)) if views in ({"PA"}, {"AP"}) else ""


def names_lateral_view(text: str) -> bool:
    """Return whether a text names a lateral view and no frontal one."""
    return _find_views(text) == {"LATERAL"}


def is_lateral(view: str) -> bool:
    """Return whether the text of a view column says lateral, in words or as the letter L."""
    return view.strip().upper() == "L" or names_lateral_view(view)


def _find_views(text: str) -> set[str]:
    words = _NOT_LETTERS.sub(" ", text.upper())
    for phrase, view in _VIEW_OF_PHRASE.items():
        words = words.replace(phrase, view)
    return {_VIEW_OF_WORD[word] for word in words.split() if word in _VIEW_OF_WORD}
