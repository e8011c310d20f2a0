"""The film sources of params.yaml: check the options of an entry, read its films, and merge several sources."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from synthcxr.data.film_joining import unify_patients
from synthcxr.data.films import Film
from synthcxr.errors import ConfigError, DataError
from synthcxr.project import extensions, import_closure
from synthcxr.readers import READERS
from synthcxr.readers.reader import Reader
from synthcxr.storage import digests

_DECODING_LIBRARIES = (
    *("numpy", "pillow", "pydicom", "pyjpegls", "python-gdcm"),
    *("pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle"),
)


@dataclasses.dataclass(frozen=True)
class Source:
    """The films of one entry of `prepare.sources`, and the lines that its reader reported."""

    reader: str
    films: tuple[Film, ...]
    notes: tuple[str, ...]

    @property
    def attribution(self) -> str:
        """The attribution of these films; empty if there is none."""
        return READERS.load(self.reader).attribution

    def as_dict(self) -> dict[str, Any]:
        """Return the entry of dataset.json."""
        names = sorted({film.source for film in self.films})
        return {"reader": self.reader, "names": names, "films": len(self.films), "notes": list(self.notes)}


def read_source(key: str, entry: Mapping[str, Any], report: Callable[[str], None]) -> Source:
    """Read the films of one entry; `key` is its path in params.yaml, with which a ConfigError begins.

    `report` receives the lines of the reader about films that it leaves out. Raises DataError like the reader.
    """
    options = dict(entry)
    name = options.pop("reader", None)
    if not isinstance(name, str) or name not in READERS:
        raise ConfigError(f"{key}.reader: {name!r} is not one of {', '.join(READERS.list_names())}")
    reader = READERS.load(name)
    _check_options(key, reader, options)
    notes: list[str] = []
    try:
        films = tuple(reader.read(**options, report=notes.append))
    except ConfigError as error:
        raise ConfigError(f"{key}.{error}") from error
    for note in notes:
        report(note)
    return Source(reader=name, films=films, notes=tuple(notes))


def fingerprint_decoding(entries: Sequence[Mapping[str, Any]], resolution: int) -> str:
    """Identify what decides which squares the files of these entries of `prepare.sources` become.

    That are the entries, the code of `prepare`, and the versions of the libraries that decode and of the packages that
    add readers.
    """
    code = import_closure.compute_digest("synthcxr.stages.prepare", packages=extensions.list_packages("prepare"))
    versions = {name: version for name in _DECODING_LIBRARIES if (version := _find_version(name))}
    return digests.fingerprint([code, versions, resolution, entries])


def _find_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def merge_films(films: Iterable[Film]) -> list[Film]:
    """Keep one film per Image Index: the largest, or the first of equal size, with the official list of any of them.

    Films with the same Image Index show the same patient. If sources name the patient differently, all films of that
    patient get one ID, so that the split treats them as one person.
    """
    groups: dict[str, list[Film]] = {}
    for film in films:
        groups.setdefault(film.image_index, []).append(film)
    patients = unify_patients([film.patient_id for film in group] for group in groups.values())
    return [
        dataclasses.replace(
            max(group, key=_read_size) if len(group) > 1 else group[0],
            patient_id=patients[group[0].patient_id],
            official=next((film.official for film in group if film.official), ""),
        )
        for group in groups.values()
    ]


def _read_size(film: Film) -> int:
    try:
        return film.read_size()
    except DataError:
        return 0


def _check_options(key: str, reader: Reader, options: Mapping[str, Any]) -> None:
    """Raise ConfigError for an option that is unknown, missing or of the wrong type."""
    hints, parameters = reader.types, reader.parameters
    for name, value in options.items():
        if name not in parameters:
            raise ConfigError(f"{key}.{name}: unknown option of reader {reader.name}; known: {', '.join(parameters)}")
        if name in hints and not _has_type(value, hints[name]):
            raise ConfigError(f"{key}.{name}: expected {_describe_type(hints[name])}, got {value!r}")
    for name, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and name not in options:
            raise ConfigError(f"{key}.{name}: missing; reader {reader.name} requires it")


_TYPE_NAMES: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
    Mapping: "a mapping",
}


def _has_type(value: Any, hint: Any) -> bool:
    """Whether a value has an annotated type; True for a type that YAML has no value of."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return any(_has_type(value, part) for part in typing.get_args(hint))
    expected_type = typing.get_origin(hint) or hint
    if expected_type not in (*_TYPE_NAMES, types.NoneType):
        return True
    if isinstance(value, bool):
        return expected_type is bool
    return isinstance(value, (int, float) if expected_type is float else expected_type)


def _describe_type(hint: Any) -> str:
    """Describe a type in the terms of YAML."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return " or ".join(_describe_type(part) for part in typing.get_args(hint) if part is not types.NoneType)
    return _TYPE_NAMES[typing.get_origin(hint) or hint]
