"""Data_Entry.csv: the images in the table format of NIH ChestX-ray14, for software that reads that format.

Image Index is the name of the file, and each image is its own patient. Age, sex and view are those of the
condition of a conditional generator, or empty.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from synthcxr.data.condition_columns import AGE_COLUMN, SEX_COLUMN, VIEW_COLUMN
from synthcxr.data.findings import LABEL_SEPARATOR
from synthcxr.data.synthetic_dataset import ImageRecord

DATA_ENTRY_FILE = "Data_Entry.csv"
_COLUMNS = (
    *("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender", "View Position"),
    *("OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]"),  # as in the NIH release, with its commas
)


def write_data_entry(folder: Path, records: Iterable[ImageRecord], *, side: int) -> None:
    """List images of `side` pixels."""
    with (folder / DATA_ENTRY_FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for patient, record in enumerate(records, 1):
            name, labels = record.file_name.rpartition("/")[2], LABEL_SEPARATOR.join(record.findings)
            attributes = (record.condition.get(column, "") for column in (AGE_COLUMN, SEX_COLUMN, VIEW_COLUMN))
            writer.writerow((name, labels, 0, patient, *attributes, side, side, "", ""))
