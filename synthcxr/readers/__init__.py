"""Where films come from: each reader turns its options in params.yaml into an iterator of Film."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from synthcxr.data.films import Film
from synthcxr.errors import DataError
from synthcxr.readers import chexpert, dicom, folder, nih, phantom

READERS: dict[str, Callable[..., Iterator[Film]]] = {
    "nih": nih.read,
    "chexpert": chexpert.read,
    "dicom": dicom.read,
    "folder": folder.read,
    "phantom": phantom.read,
}
ATTRIBUTIONS: dict[str, str] = {
    "nih": nih.ATTRIBUTION,
    "chexpert": chexpert.ATTRIBUTION,
    "dicom": dicom.ATTRIBUTION,
    "folder": folder.ATTRIBUTION,
    "phantom": phantom.ATTRIBUTION,
}
ON_DISK = {"nih": nih, "chexpert": chexpert, "dicom": dicom, "folder": folder}


def recognise(path: Path) -> str:
    """The reader that a folder of films is laid out for: a key of READERS; raises DataError for none."""
    if not path.is_dir():
        raise DataError(f"{path}: no such folder of films")
    for name, reader in ON_DISK.items():
        if reader.fits(path):
            return name
    raise DataError(
        f"{path}: no films found in a layout that is known: not the NIH release (Data_Entry_2017*.csv with "
        "images_*/images/), CheXpert (train.csv), DICOM files with a CSV of labels, a CSV with an image and a label "
        "column, nor a folder per finding"
    )
