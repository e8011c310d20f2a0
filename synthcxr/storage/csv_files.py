"""CSV files in UTF-8: read with limits on their size and the length of a line, and errors that name the file."""

from __future__ import annotations

import array
import contextlib
import csv
import gzip
import io
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthcxr.errors import DataError
from synthcxr.storage import guarded_files
from synthcxr.storage.guarded_files import ErrorType, RefusedContentError

if TYPE_CHECKING:
    import pandas as pd

MAX_BYTES, MAX_LINE = 2**30, guarded_files.MIB
_CONTENT = "CSV"
_MAX_SHARED = 1000
"""So many distinct texts of a column are held once, whatever the number of rows that have them."""


@contextlib.contextmanager
def open_lines(path: Path, *, error: ErrorType = DataError, advice: str = "") -> Iterator[Iterator[str]]:
    """Give the lines of a text file, decompressed if its name ends in .gz; their ends are kept.

    Every failure in the block is an `error` that names the file: also those of a parser that gets the lines.
    """
    with (
        guarded_files.report_failure(path, _CONTENT, error=error, advice=advice),
        guarded_files.open_regular(path, MAX_BYTES) as file,
    ):
        plain = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file
        with io.TextIOWrapper(plain, encoding="utf-8-sig", newline="") as text:
            yield _iterate_lines(text)


def _iterate_lines(text: io.TextIOWrapper) -> Iterator[str]:
    n_characters = 0
    while line := _read_line(text):
        n_characters += len(line)
        if len(line) > MAX_LINE or n_characters > MAX_BYTES:
            raise RefusedContentError(f"has a line above {MAX_LINE:,} or a text above {MAX_BYTES:,} characters")
        if "\0" in line:
            raise RefusedContentError("contains NUL characters; it is not text")
        yield line


def _read_line(text: io.TextIOWrapper) -> str:
    try:
        return text.readline(MAX_LINE + 1)
    except UnicodeDecodeError as error:
        raise RefusedContentError(f"not readable as CSV ({error}); save it as UTF-8") from error


def read_rows(
    path: Path, columns: Collection[str], *, error: ErrorType = DataError, advice: str = ""
) -> list[dict[str, str]]:
    """Read a table as text by column; blank lines are left out.

    `error` where it lacks one of `columns`, names a column twice, or has a row with another number of fields.
    """
    return list(iterate_rows(path, columns, error=error, advice=advice))


def iterate_rows(
    path: Path, columns: Collection[str], *, error: ErrorType = DataError, advice: str = ""
) -> Iterator[dict[str, str]]:
    """Yield the rows of a table like `read_rows`, which holds them all."""
    with open_lines(path, error=error, advice=advice) as lines:
        yield from _parse_rows(lines, columns)


def read_columns(
    path: Path,
    *,
    text_columns: Collection[str],
    number_columns: Collection[str],
    no_number: float,
    error: ErrorType = DataError,
    advice: str = "",
) -> dict[str, Sequence[Any]]:
    """Read columns of a table as text or as numbers; `no_number` stands for other cells. Fails like `read_rows`."""
    texts: dict[str, list[str]] = {column: [] for column in text_columns}
    repeated: dict[str, dict[str, str]] = {column: {} for column in text_columns}
    numbers = {column: array.array("d") for column in number_columns}
    for row in iterate_rows(path, (*text_columns, *number_columns), error=error, advice=advice):
        for column, cells in texts.items():
            known, cell = repeated[column], row[column]
            cells.append(known.setdefault(cell, cell) if len(known) < _MAX_SHARED else known.get(cell, cell))
        for column, values in numbers.items():
            values.append(to_number(row[column], no_number=no_number))
    return {**texts, **numbers}


def _parse_rows(lines: Iterator[str], columns: Collection[str]) -> Iterator[dict[str, str]]:
    reader = csv.reader(lines, strict=True)
    header = next(reader, [])
    missing = [column for column in columns if column not in header]
    if missing:
        raise RefusedContentError(f"columns missing: {', '.join(missing)}")
    if len(set(header)) < len(header):
        raise RefusedContentError("names a column twice")
    for fields in reader:
        if fields and len(fields) != len(header):
            raise RefusedContentError(f"line {reader.line_num}: {len(fields)} fields, but the header has {len(header)}")
        if fields:
            yield dict(zip(header, fields, strict=True))


def to_number(cell: str, *, no_number: float) -> float:
    """The number in a cell; `no_number` for text and for NaN."""
    try:
        number = float(cell)
    except ValueError:
        return no_number
    return no_number if "_" in cell or not cell.isascii() or math.isnan(number) else number


def read_table(
    path: Path,
    *,
    text_columns: Collection[str] = (),
    columns: Collection[str] = (),
    blank_is_missing: bool = True,
    error: ErrorType = DataError,
    advice: str = "",
) -> pd.DataFrame:
    """Read a table as a DataFrame; the values of `text_columns` stay text, the types of the others follow the values.

    `error` where it lacks one of `columns`. Blank fields are missing values, or empty text.
    """
    import pandas as pd  # the command line reads tables of text without loading it

    with (
        guarded_files.report_failure(path, _CONTENT, error=error, advice=advice),
        guarded_files.open_regular(path, MAX_BYTES) as file,
    ):
        types: Mapping[str, type[str]] = dict.fromkeys(text_columns, str)
        table = pd.read_csv(
            file, dtype=dict(types), keep_default_na=blank_is_missing, low_memory=False, encoding_errors="strict"
        )
        missing = [column for column in columns if column not in table.columns]
        if missing:
            raise RefusedContentError(f"columns missing: {', '.join(missing)}")
        return table
