"""Film readers: each reads the films of one layout, with its options from params.yaml."""

from __future__ import annotations

import functools
from pathlib import Path

from synthcxr.errors import DataError, ExtensionError
from synthcxr.project import extensions
from synthcxr.project.extensions import Extensions
from synthcxr.readers import chexpert, dicom, folder, mimic, nih, phantom
from synthcxr.readers.reader import Reader
from synthcxr.storage import clean_up

READERS = Extensions(
    extensions.READERS,
    Reader,
    (nih.READER, chexpert.READER, mimic.READER, dicom.READER, folder.READER, phantom.READER),
)


_ANY_IMAGES = folder.READER.name
"""The reader that recognises every folder with an image: it is tried last."""


def detect_reader(path: Path) -> Reader:
    """Return the first reader that recognises a folder of films and can read it; DataError if none can.

    A package is imported only if no shipped reader of a release recognises the folder.
    """
    if not path.is_dir():
        raise DataError(f"{path}: no such folder")
    reasons, layouts = [], []
    names = READERS.list_names()
    for name in (*(name for name in names if name != _ANY_IMAGES), _ANY_IMAGES):
        try:
            reader = READERS.load(name)
            if reader.matches is not None and reader.matches(path):
                _try_reader(reader, path)
                return reader
        except (DataError, ExtensionError) as error:
            reasons.append(f"reader {name}: {error}")
        else:
            layouts += [reader] if reader.matches is not None else []
    if reasons:
        raise DataError(f"{path}: cannot be read; {reasons[-1]}; or choose a reader and its options in params.yaml")
    known = "; ".join(f"{reader.name}: {reader.films.replace('`', '')}" for reader in layouts)
    raise DataError(f"{path}: no films found in a known layout. Known layouts: {known}")


def _try_reader(reader: Reader, path: Path) -> None:
    """Read the films with the options of `init`; DataError if that fails. A salt has no value here."""
    read = functools.partial(reader.read, str(path), report=lambda _: None)
    if reader.salt_option is None:
        next(iter(read()), None)
        return
    with clean_up.temporary_folder("synthcxr-") as folder:
        salt = folder / "salt"
        salt.write_bytes(bytes(32).hex().encode())
        next(iter(read(**{reader.salt_option: str(salt)})), None)
