"""The formats of images: a folder of PNG or DICOM files, WebDataset shards, and those of installed packages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from synthcxr.data.image_formats import ImageFormat, ImageStore
from synthcxr.project import extensions
from synthcxr.project.extensions import Extensions
from synthcxr.writers.formats import image_folder, webdataset
from synthcxr.writers.formats.image_folder import PngFolder
from synthcxr.writers.formats.webdataset import TarShards


def _open_dicom(root: Path, generator: str) -> ImageStore:
    from synthcxr.writers.formats.dicom import DicomFolder  # needs pydicom, an optional dependency

    return DicomFolder(root, generator)


def _find_pydicom_version() -> Mapping[str, str]:
    from synthcxr.writers.formats import dicom

    return {"pydicom": dicom.VERSION}


FORMATS = Extensions(
    extensions.WRITERS,
    ImageFormat,
    (
        PngFolder.declare_format(
            "png", "8-bit grey PNG files, 1,000 per folder", media_type="image/png", bytes_per_pixel=0.5
        ),
        ImageFormat(
            name="dicom",
            summary="DICOM files (Digital X-Ray Image For Presentation), 1,000 per folder; needs the extra `dicom`",
            folder=image_folder.DICOM_FOLDER,
            pattern="*/*.dcm",
            media_type="application/dicom",
            suffix=".dcm",
            bytes_per_pixel=1.0,
            open=_open_dicom,
            library_versions=_find_pydicom_version,
        ),
        ImageFormat(
            name="webdataset",
            summary="WebDataset shards: tar files of 1,000 PNG files with their labels",
            folder=webdataset.SHARD_FOLDER,
            pattern="*.tar",
            media_type="application/x-tar",
            suffix=TarShards.suffix,
            bytes_per_pixel=0.5,
            open=lambda root, _generator: TarShards(root),
            are_archives=True,
        ),
    ),
)


def open_store(image_format: str, root: Path, *, generator: str) -> ImageStore:
    """Open the store of a format under `root`. `generator` is the digest of the generator's file.

    Raises ExtensionError for an unknown format.
    """
    return FORMATS.load(image_format).open(root, generator)


def library_versions(image_format: str) -> dict[str, str]:
    """The versions of the libraries that a file's bytes depend on, in addition to those of every format."""
    return {**FORMATS.load(image_format).library_versions(), **FORMATS.package_version(image_format)}
