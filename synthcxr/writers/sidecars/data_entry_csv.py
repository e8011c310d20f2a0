"""Data_Entry.csv: the images listed as NIH ChestX-ray14 lists its films, for what reads those.

Image Index is a file's own name; every image counts as a patient of its own; age, sex and view are nobody's and empty.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from synthcxr.data import findings
from synthcxr.data.records import Record

NAME = "Data_Entry.csv"
_COLUMNS = (
    *("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender", "View Position"),
    *("OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]"),  # the release's header, commas and all
)


def write(folder: Path, held: Iterable[Record], *, side: int) -> None:
    """List images of `side` px."""
    with (folder / NAME).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for patient, record in enumerate(held, 1):
            name, shown = record.file_name.rpartition("/")[2], findings.SEPARATOR.join(record.findings)
            writer.writerow((name, shown, 0, patient, "", "", "", side, side, "", ""))
