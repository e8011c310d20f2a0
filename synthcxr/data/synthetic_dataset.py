"""The files that describe a synthetic dataset: metadata.csv, a row per image, and run.json."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthcxr.config import parsing
from synthcxr.config.bounds import Candidate, Seed
from synthcxr.data.condition_columns import CELL_PATTERNS, CONDITION_COLUMNS
from synthcxr.data.findings import FINDINGS, LABEL_SEPARATOR
from synthcxr.data.run_schema import RunJson
from synthcxr.errors import DataError
from synthcxr.storage import atomic, csv_files

if TYPE_CHECKING:
    import pandas as pd

METADATA_FILE = "metadata.csv"
RUN_FILE = "run.json"
PROBABILITY_COLUMNS = tuple(f"p_{finding}" for finding in FINDINGS)
METADATA_COLUMNS = (
    "file_name",
    "index",
    "seed",
    "requested",
    "Finding Labels",
    *PROBABILITY_COLUMNS,
    "weight",
    "sha256",
)
TRAIN_DISTANCE_COLUMN = "train_distance"
STEPS_COLUMN = "steps"
_INTEGER = re.compile("-?[0-9]{1,20}")
_NAME_INSIDE = re.compile(r"(?!\.{0,2}(?:/|$))[^/\\:\x00-\x1f]+(?:/(?!\.{0,2}(?:/|$))[^/\\:\x00-\x1f]+)*")
JUDGE_COLUMNS = tuple(f"judge_{finding}" for finding in FINDINGS)
JUDGE_FINDINGS_COLUMN = "Judge Findings"
_TEXT_COLUMNS = (
    *("file_name", "requested", "Finding Labels", JUDGE_FINDINGS_COLUMN, "sha256"),
    *CONDITION_COLUMNS.values(),
)
CHECKED_NUMBERS = (*PROBABILITY_COLUMNS, "weight")
"""The columns of numbers that the checks of a dataset read."""
_INTEGER_COLUMNS = frozenset({"index", "seed", STEPS_COLUMN})
_NUMBER_COLUMNS = frozenset({*CHECKED_NUMBERS, TRAIN_DISTANCE_COLUMN, *JUDGE_COLUMNS})
_ADVICE = "generate the dataset again"
OPTIONAL_COLUMNS = (
    *(TRAIN_DISTANCE_COLUMN, STEPS_COLUMN, *JUDGE_COLUMNS, JUDGE_FINDINGS_COLUMN),
    *CONDITION_COLUMNS.values(),
)


@dataclasses.dataclass(frozen=True)
class ImageRecord:
    """One synthetic image: candidate `index` of `seed`, its file and digest, and its labels by the classifier.

    `requested` are the findings of the request, `findings` those that the classifier found. Optional are
    `train_distance`, the distance to the nearest training film; `steps`, the number of optimisation steps from the
    candidate's latent; `judge_probabilities`, with the `judge_findings` that reach the judge's thresholds; and the
    `condition` of a conditional generator, as the cells of its columns.
    """

    file_name: str
    index: Candidate
    seed: Seed
    requested: str
    findings: tuple[str, ...]
    probabilities: tuple[float, ...]
    weight: float
    sha256: str
    train_distance: float | None = None
    steps: int | None = None
    judge_probabilities: tuple[float, ...] = ()
    judge_findings: tuple[str, ...] = ()
    condition: Mapping[str, str] = dataclasses.field(default_factory=dict)


def to_metadata_row(record: ImageRecord) -> dict[str, Any]:
    """Return the row of metadata.csv for a record."""
    row: dict[str, Any] = {
        "file_name": record.file_name,
        "index": record.index,
        "seed": record.seed,
        "requested": record.requested,
        "Finding Labels": LABEL_SEPARATOR.join(record.findings),
    }
    row |= dict(zip(PROBABILITY_COLUMNS, record.probabilities, strict=True))
    row |= {"weight": record.weight, "sha256": record.sha256}
    for column, value in ((TRAIN_DISTANCE_COLUMN, record.train_distance), (STEPS_COLUMN, record.steps)):
        if value is not None:
            row[column] = value
    if record.judge_probabilities:
        row |= dict(zip(JUDGE_COLUMNS, record.judge_probabilities, strict=True))
    if record.judge_findings:
        row[JUDGE_FINDINGS_COLUMN] = LABEL_SEPARATOR.join(record.judge_findings)
    return row | dict(record.condition)


def write_metadata(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write metadata.csv; see `open_metadata`."""
    with open_metadata(path) as add_row:
        for row in rows:
            add_row(row)


@contextlib.contextmanager
def open_metadata(path: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Open metadata.csv, with \\n as line end on every system: the block gets a function that adds a row.

    Optional columns are those of the first row. Floats have six decimals; weights can be tiny and have seven
    significant digits.
    """
    columns: list[str] = []
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")

        def write_header(first: Mapping[str, Any]) -> None:
            columns.extend((*METADATA_COLUMNS, *(column for column in OPTIONAL_COLUMNS if column in first)))
            writer.writerow(columns)

        def add(row: Mapping[str, Any]) -> None:
            if not columns:
                write_header(row)
            cells = ((row[column], "#.7g" if column == "weight" else ".6f") for column in columns)
            writer.writerow([format(cell, spec) if isinstance(cell, float) else cell for cell, spec in cells])

        yield add
        if not columns:
            write_header({})


def read_unchecked_columns(dataset: Path, *, no_number: float) -> dict[str, Sequence[Any]]:
    """Read the columns that every metadata.csv has, without pandas.

    DataError where the file is absent, lacks a column or names a file outside the dataset. The probabilities and the
    weight are numbers, `no_number` where a cell is none; the other columns are text.
    """
    text_columns = [column for column in METADATA_COLUMNS if column not in CHECKED_NUMBERS]
    path = _find_metadata(dataset)
    columns = csv_files.read_columns(
        path, text_columns=text_columns, number_columns=CHECKED_NUMBERS, no_number=no_number, advice=_ADVICE
    )
    refuse_names_outside(dataset, columns["file_name"])
    return columns


def _find_metadata(dataset: Path) -> Path:
    """The metadata.csv of a dataset; DataError where it is absent."""
    path = dataset / METADATA_FILE
    if not os.path.isfile(path):  # noqa: PTH113  unlike Path.is_file, it is false for a name that is too long
        if not os.path.lexists(dataset):
            raise DataError(atomic.describe_absent(dataset))
        raise DataError(f"{dataset}: no {METADATA_FILE}; give the folder of a finished synthetic dataset")
    return path


def read_metadata(dataset: Path) -> pd.DataFrame:
    """Read metadata.csv as a table, with columns that were added to it; DataError as for `iterate_image_records`."""
    for _ in iterate_image_records(dataset):
        pass
    return _read_table(dataset)


def read_unchecked_metadata(dataset: Path, *, no_number: float) -> pd.DataFrame:
    """Read metadata.csv as a table; DataError as for `read_unchecked_columns`.

    `no_number` stands in columns of numbers for cells that are none.
    """
    read_unchecked_columns(dataset, no_number=no_number)
    table = _read_table(dataset)
    for column in table.columns.intersection([*_INTEGER_COLUMNS, *_NUMBER_COLUMNS]):
        if table[column].dtype.kind not in "iuf":
            table[column] = [_read_number(column, str(cell), no_number=no_number) for cell in table[column]]
        table[column] = table[column].fillna(no_number)
    return table


def _read_table(dataset: Path) -> pd.DataFrame:
    """Read a metadata.csv whose rows were found to be complete."""
    path = dataset / METADATA_FILE
    return csv_files.read_table(path, text_columns=_TEXT_COLUMNS, blank_is_missing=False, advice=_ADVICE)


def _read_number(column: str, cell: str, *, no_number: float) -> float:
    if column in _INTEGER_COLUMNS:
        return int(cell) if _INTEGER.fullmatch(cell) else no_number
    return csv_files.to_number(cell, no_number=no_number)


def refuse_names_outside(dataset: Path, file_names: Iterable[str]) -> None:
    """Raise DataError for the first name that leads, or may lead on another system, out of the folder of the dataset.

    That is an absolute path, a drive letter, a part ".." or a backslash. Links are allowed, because DVC and Hugging
    Face put files into place as links to their caches; the digest of an image decides whether its content is used.
    """
    for name in file_names:
        if not _NAME_INSIDE.fullmatch(name):
            raise DataError(
                f"{dataset}: {METADATA_FILE} names {name[:200]!r}, which is not a path inside the dataset; do not use "
                "this dataset, or generate it again"
            )


def read_image_records(dataset: Path) -> list[ImageRecord]:
    """Read metadata.csv as records, without pandas; DataError as for `iterate_image_records`."""
    return list(iterate_image_records(dataset))


def iterate_image_records(dataset: Path) -> Iterator[ImageRecord]:
    """Yield the rows of metadata.csv as records.

    DataError where the file is absent, lacks a column, names a file outside the dataset, or has a cell that `generate`
    does not write.
    """
    path = _find_metadata(dataset)
    for row in csv_files.iterate_rows(path, METADATA_COLUMNS, advice=_ADVICE):
        try:
            record = _parse_record(row)
        except _CellError as error:
            raise DataError(f"{path}: column {error.column} has values that are {error.fault}; {_ADVICE}") from error
        refuse_names_outside(dataset, (record.file_name,))
        yield record


class _CellError(ValueError):
    def __init__(self, column: str, fault: str) -> None:
        super().__init__(column, fault)
        self.column, self.fault = column, fault


def _parse_record(row: Mapping[str, str]) -> ImageRecord:
    for column, pattern in CELL_PATTERNS.items():
        if column in row and not re.fullmatch(pattern, row[column]):
            raise _CellError(column, "not valid")
    has_judge = row.keys() >= set(JUDGE_COLUMNS)
    return ImageRecord(
        file_name=row["file_name"],
        index=_parse_integer(row, "index"),
        seed=_parse_integer(row, "seed"),
        requested=row["requested"],
        findings=tuple(row["Finding Labels"].split(LABEL_SEPARATOR)),
        probabilities=tuple(_parse_number(row, column) for column in PROBABILITY_COLUMNS),
        weight=_parse_number(row, "weight"),
        sha256=row["sha256"],
        train_distance=_parse_number(row, TRAIN_DISTANCE_COLUMN) if TRAIN_DISTANCE_COLUMN in row else None,
        steps=_parse_integer(row, STEPS_COLUMN) if STEPS_COLUMN in row else None,
        judge_probabilities=tuple(_parse_number(row, column) for column in JUDGE_COLUMNS) if has_judge else (),
        judge_findings=tuple(filter(None, row.get(JUDGE_FINDINGS_COLUMN, "").split(LABEL_SEPARATOR))),
        condition={column: row[column] for column in CONDITION_COLUMNS.values() if column in row},
    )


def _parse_integer(row: Mapping[str, str], column: str) -> int:
    number = int(row[column]) if _INTEGER.fullmatch(row[column]) else None
    if number is None or number >= 2**64:
        raise _CellError(column, "not numbers")
    if number < 0:
        raise _CellError(column, "negative")
    return number


def _parse_number(row: Mapping[str, str], column: str) -> float:
    number = csv_files.to_number(row[column], no_number=math.nan)
    if not math.isfinite(number):
        raise _CellError(column, "not numbers")
    return number


def read_run(dataset: Path) -> RunJson:
    """Read run.json: how the dataset was generated; DataError where it is absent or not a run.json."""
    if not (dataset / RUN_FILE).is_file():
        raise DataError(f"{dataset}: no {RUN_FILE}; give the folder of a finished synthetic dataset")
    return parsing.read_json(RunJson, dataset / RUN_FILE, advice=_ADVICE)
