"""Film readers: each reads the films of one layout, with its options from params.yaml."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from synthcxr.data.films import Film
from synthcxr.errors import DataError
from synthcxr.readers import chexpert, dicom, folder, nih, phantom

READERS: dict[str, Callable[..., Iterator[Film]]] = {
    "nih": nih.read_films,
    "chexpert": chexpert.read_films,
    "dicom": dicom.read_films,
    "folder": folder.read_films,
    "phantom": phantom.read_films,
}
ATTRIBUTIONS: dict[str, str] = {
    "nih": nih.ATTRIBUTION,
    "chexpert": chexpert.ATTRIBUTION,
    "dicom": dicom.ATTRIBUTION,
    "folder": folder.ATTRIBUTION,
    "phantom": phantom.ATTRIBUTION,
}
FILE_READERS = {"nih": nih, "chexpert": chexpert, "dicom": dicom, "folder": folder}


def detect_reader(path: Path) -> str:
    """Return the reader (a key of FILE_READERS) whose layout a folder of films has; DataError if none matches."""
    if not path.is_dir():
        raise DataError(f"{path}: no such folder")
    for name, reader in FILE_READERS.items():
        if reader.matches_layout(path):
            return name
    raise DataError(
        f"{path}: no films found in a known layout. Known layouts: the NIH release (Data_Entry_2017*.csv with "
        "images_*/images/), CheXpert (train.csv), DICOM files with a CSV file of labels, images with a CSV file that "
        "has an image and a label column, one folder per finding"
    )
