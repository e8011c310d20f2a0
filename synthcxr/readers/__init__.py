"""Film readers: each reads the films of one layout, with its options from params.yaml."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from synthcxr.data.films import Film
from synthcxr.errors import DataError
from synthcxr.readers import chexpert, dicom, folder, mimic, nih, phantom
from synthcxr.storage import clean_up

READERS: dict[str, Callable[..., Iterator[Film]]] = {
    "nih": nih.read_films,
    "chexpert": chexpert.read_films,
    "mimic": mimic.read_films,
    "dicom": dicom.read_films,
    "folder": folder.read_films,
    "phantom": phantom.read_films,
}
ATTRIBUTIONS: dict[str, str] = {
    "nih": nih.ATTRIBUTION,
    "chexpert": chexpert.ATTRIBUTION,
    "mimic": mimic.ATTRIBUTION,
    "dicom": dicom.ATTRIBUTION,
    "folder": folder.ATTRIBUTION,
    "phantom": phantom.ATTRIBUTION,
}
FILE_READERS = {"nih": nih, "chexpert": chexpert, "mimic": mimic, "dicom": dicom, "folder": folder}


def detect_reader(path: Path) -> str:
    """Return the first reader (a key of FILE_READERS) that can read a folder of films; DataError if none can."""
    if not path.is_dir():
        raise DataError(f"{path}: no such folder")
    reasons = []
    for name, reader in FILE_READERS.items():
        try:
            if reader.matches_layout(path):
                _try_reader(name, path)
                return name
        except DataError as error:
            reasons.append(f"reader {name}: {error}")
    if reasons:
        raise DataError(f"{path}: cannot be read; {reasons[-1]}; or choose a reader and its options in params.yaml")
    raise DataError(
        f"{path}: no films found in a known layout. Known layouts: the NIH release (Data_Entry_2017*.csv with "
        "images_*/images/), CheXpert (train.csv), MIMIC-CXR-JPG (mimic-cxr-2.0.0-metadata.csv.gz), DICOM files, images "
        "with a table that has an image and a label column, one folder per finding"
    )


def _try_reader(name: str, path: Path) -> None:
    """Read the films with the options of `init`; DataError if that fails. DICOM is read with a salt of no value."""
    if name != "dicom":
        READERS[name](str(path))
        return
    with clean_up.temporary_folder("synthcxr-") as folder:
        salt = folder / "salt"
        salt.write_bytes(bytes(32).hex().encode())
        READERS[name](str(path), salt=str(salt))
