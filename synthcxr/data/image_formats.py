"""The declaration of an image format: how the images of a dataset are stored, named and decoded."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.run_schema import RunJson
from synthcxr.data.synthetic_dataset import ImageRecord
from synthcxr.errors import DataError, ExtensionError
from synthcxr.project import extensions
from synthcxr.project.extensions import load_declaration

Decode = Callable[[bytes], NDArray[np.uint8]]
SHIPPED_FORMATS = ("png", "dicom", "webdataset")
"""The names of the formats that need no other package."""
_SHIPPED_SUFFIXES = (".png", ".dcm")


class ImageStore(Protocol):
    """The images of a dataset under a root folder.

    The ordinal of an image is its position in the dataset. Images are written strictly in that order.
    """

    suffix: ClassVar[str]
    """The end of an image's file name. Stores with the same suffix hold the same bytes."""

    def file_name(self, ordinal: int) -> str:
        """The `file_name` of an image in metadata.csv."""

    def encode(self, pixels: NDArray[np.uint8], record: ImageRecord) -> bytes:
        """Encode an image uint8 [R, R]. Its record has no `file_name` and no `sha256` yet."""

    def write(self, ordinal: int, data: bytes, record: ImageRecord) -> None:
        """Add the next image."""

    def read(self, records: Iterable[ImageRecord]) -> Iterator[bytes | None]:
        """Yield the content of each record's file, or None if it is absent, incomplete or has another sha256."""

    def truncate(self, n_images: int) -> None:
        """Delete everything after the first `n_images` images."""

    def close(self) -> None:
        """Complete and close open files."""


@dataclasses.dataclass(frozen=True)
class ImageFormat:
    """A format of the images of a dataset, which users choose by its `name` in `generate --format`.

    `summary` says in a few words how images are stored. `folder` is the folder of the dataset with the files, and
    `pattern` matches the files in it, whose media type is `media_type`; `are_archives` is set if each is a tar file of
    images. `suffix` is the end of an image's file name in metadata.csv, and `bytes_per_pixel` what an image takes at
    least. `open` returns the store of a root folder, given the digest of the generator. `decode` returns the pixels
    uint8 [R, R] of an image, or raises DataError; it is None for PNG and for the DICOM files of synthcxr, which are
    recognised by their content. `library_versions` are the versions of the libraries that the bytes depend on, in
    addition to those of every format and that of the package that adds the format.
    """

    name: str
    summary: str
    folder: str
    pattern: str
    media_type: str
    suffix: str
    bytes_per_pixel: float
    open: Callable[[Path, str], ImageStore]
    decode: Decode | None = None
    are_archives: bool = False
    library_versions: Callable[[], Mapping[str, str]] = dict


def require_format(dataset: Path, run: RunJson) -> None:
    """Raise DataError if the images of a dataset are in a format of a package that is not installed."""
    name = str(run.get("format", SHIPPED_FORMATS[0]))
    if name in SHIPPED_FORMATS or name in extensions.find_entry_points(extensions.WRITERS):
        return
    versions = run.get("versions", {})
    missing = [f"{package} {version}" for package, version in versions.items() if not _is_installed(package)]
    raise DataError(
        f"{dataset}: its images are in the format {name!r} of a package that is not installed; install"
        f" {', '.join(missing) or 'the package that wrote them'}"
    )


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return package == "python"
    return True


def find_decoder(file_name: str) -> Decode | None:
    """The decoder of an installed package for the images of this name, or None.

    Raises ExtensionError if a package cannot be imported, unless the name is that of a PNG or DICOM file.
    """
    for entry_point in extensions.find_entry_points(extensions.WRITERS).values():
        try:
            image_format = load_declaration(entry_point, ImageFormat)
        except ExtensionError:
            if file_name.endswith(_SHIPPED_SUFFIXES):
                continue
            raise
        if image_format.decode is not None and file_name.endswith(image_format.suffix):
            return image_format.decode
    return None
