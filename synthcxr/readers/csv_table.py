"""The CSV table beside a source's films: its columns by role, its findings, with row numbers for messages."""

from __future__ import annotations

import csv
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path

from synthcxr.data.findings import UNKNOWN_FINDINGS
from synthcxr.errors import DataError

Roles = Mapping[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class Table:
    """The rows of a CSV as text: `columns` by role, and `lines`, the line of the file at which each row ends."""

    path: Path
    lines: Sequence[int]
    columns: Mapping[str, Sequence[str]]

    def __len__(self) -> int:
        return len(self.lines)

    def __contains__(self, role: str) -> bool:
        return role in self.columns

    def __getitem__(self, role: str) -> Sequence[str]:
        return self.columns[role]

    def refuse(self, row: int, why: str) -> DataError:
        """The error to raise for a row (0 .. len - 1), naming file and line."""
        return DataError(f"{self.path}:{self.lines[row]}: {why}")


def read(path: Path, *, required: Roles, optional: Roles | None = None) -> Table:
    """Read the columns that fill the roles; a role maps to the names its column may have, in any case.

    An optional role without a column is left out; rows without any text are skipped. A header whose names hold
    commas (the NIH's OriginalImage[Width,Height]) is read whether quoted or not. Raises DataError for a file that is
    absent, empty or no CSV, for a required role without a column, and for a row cut short.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _parse(path, file, required=required, optional=optional or {})
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not readable as CSV ({error})") from error


def _parse(path: Path, file: Iterable[str], *, required: Roles, optional: Roles) -> Table:
    reader = csv.reader(file)
    header = next(reader, [])
    first = next(reader, [])
    if len(first) > len(header):
        header = [part for name in header for part in name.split(",")]
    folded = [name.strip().casefold() for name in header]
    positions = {role: _position(folded, names) for role, names in {**required, **optional}.items()}
    missing = [required[role][0] for role in required if positions[role] is None]
    if missing:
        raise DataError(f"{path}: columns missing: {', '.join(missing)}")
    found = {role: position for role, position in positions.items() if position is not None}
    lines: list[int] = []
    rows: list[list[str]] = []
    for fields in itertools.chain([first], reader):
        if any(fields):
            if len(fields) <= max(found.values()):
                raise DataError(f"{path}:{reader.line_num}: {len(fields)} fields, the header has {len(header)}")
            lines.append(reader.line_num)
            rows.append(fields)
    return Table(
        path, lines, {role: [text.strip() for text in map(itemgetter(at), rows)] for role, at in found.items()}
    )


def _position(folded: Sequence[str], names: tuple[str, ...]) -> int | None:
    return next((folded.index(name.casefold()) for name in names if name.casefold() in folded), None)


def findings(table: Table, parse: Callable[[str], tuple[float, ...]]) -> list[tuple[float, ...]]:
    """The 14 findings of each row's labels; an empty field is unknown. Raises DataError naming the first bad row."""
    known: dict[str, tuple[float, ...]] = {"": UNKNOWN_FINDINGS}
    for row, text in enumerate(table["labels"]):
        if text not in known:
            try:
                known[text] = parse(text)
            except DataError as error:
                raise table.refuse(row, str(error)) from error
    return [known[text] for text in table["labels"]]


def refuse_repeats(table: Table) -> None:
    """Raise DataError, naming the row, where a row names no film or one that an earlier row named."""
    seen: set[str] = set()
    for row, name in enumerate(table["image"]):
        if not name:
            raise table.refuse(row, "names no film")
        if name in seen:
            raise table.refuse(row, f"{name} is listed a second time; give each film one row")
        seen.add(name)


def unpadded(patient: str) -> str:
    """A patient id without the leading zeros of a plain number, so that 00061 and 61 are one patient."""
    return str(int(patient)) if patient.isascii() and patient.isdigit() else patient


def view(text: str) -> str:
    """The view position "PA" or "AP" where the text says so, else ""."""
    return text.upper() if text.upper() in {"PA", "AP"} else ""
