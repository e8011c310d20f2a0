"""The store of each format."""

from __future__ import annotations

from pathlib import Path

from synthcxr.writers.formats.image_folder import PngFolder
from synthcxr.writers.formats.store import Format, Store
from synthcxr.writers.formats.webdataset import Shards


def opened(form: Format, root: Path, *, generator: str) -> Store:
    """The store of `form` under `root`, for images of the generator with this digest."""
    if form == "dicom":
        from synthcxr.writers.formats.dicom import DicomFolder  # needs pydicom, which nothing else here does

        return DicomFolder(root, generator)
    return PngFolder(root) if form == "png" else Shards(root)


def pins(form: Format) -> dict[str, str]:
    """What else a file's bytes may depend on."""
    if form != "dicom":
        return {}
    from synthcxr.writers.formats import dicom

    return {"pydicom": dicom.VERSION}
