"""Where films come from: each reader turns its options in params.yaml into an iterator of Film."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from synthcxr.errors import DataError
from synthcxr.readers import folder, nih, phantom
from synthcxr.records import Film

READERS: dict[str, Callable[..., Iterator[Film]]] = {"nih": nih.read, "folder": folder.read, "phantom": phantom.read}
ATTRIBUTIONS: dict[str, str] = {
    "nih": nih.ATTRIBUTION,
    "folder": folder.ATTRIBUTION,
    "phantom": phantom.ATTRIBUTION,
}


def recognise(path: Path) -> str:
    """The reader that a folder of films is laid out for: "nih" or "folder"; raises DataError for neither."""
    if not path.is_dir():
        raise DataError(f"{path}: no such folder of films")
    for name, reader in (("nih", nih), ("folder", folder)):
        if reader.fits(path):
            return name
    raise DataError(
        f"{path}: no films found in a layout that is known: neither the NIH release (Data_Entry_2017*.csv with "
        "images_*/images/), nor a CSV with an image and a label column, nor a folder per finding"
    )
