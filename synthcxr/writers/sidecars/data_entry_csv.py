"""Data_Entry.csv: the images in the table format of NIH ChestX-ray14, for software that reads that format.

Image Index is the name of the file, and each image is its own patient. Age, sex and view are those of the
condition of a conditional generator, or empty.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from synthcxr.data.condition_columns import AGE_COLUMN, SEX_COLUMN, VIEW_COLUMN
from synthcxr.data.findings import LABEL_SEPARATOR
from synthcxr.data.synthetic_dataset import ImageRecord

DATA_ENTRY_FILE = "Data_Entry.csv"
_COLUMNS = (
    *("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender", "View Position"),
    *("OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]"),  # as in the NIH release, with its commas
)


@contextlib.contextmanager
def open_data_entry(folder: Path, *, side: int) -> Iterator[Callable[[ImageRecord], None]]:
    """Open Data_Entry.csv: the block gets a function that adds a row for an image of `side` pixels."""
    with (folder / DATA_ENTRY_FILE).open("w", newline="", encoding="utf-8") as file:
        writer, patients = csv.writer(file, lineterminator="\n"), itertools.count(1)
        writer.writerow(_COLUMNS)

        def add(record: ImageRecord) -> None:
            name, labels = record.file_name.rpartition("/")[2], LABEL_SEPARATOR.join(record.findings)
            attributes = (record.condition.get(column, "") for column in (AGE_COLUMN, SEX_COLUMN, VIEW_COLUMN))
            writer.writerow((name, labels, 0, next(patients), *attributes, side, side, "", ""))

        yield add
