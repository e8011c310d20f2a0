"""The sources of params.yaml: an entry's options checked and read by its reader, the films of several made one list."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from synthcxr.data.films import Film
from synthcxr.errors import ConfigError, DataError
from synthcxr.readers import ATTRIBUTIONS, READERS


@dataclasses.dataclass(frozen=True)
class Source:
    """The films of one entry of `prepare.sources`, and what its reader reported."""

    reader: str
    films: tuple[Film, ...]
    notes: tuple[str, ...]

    @property
    def attribution(self) -> str:
        """Whom to name for these films; empty where nobody is known."""
        return ATTRIBUTIONS[self.reader]

    def as_dict(self) -> dict[str, Any]:
        """The entry of dataset.json."""
        names = sorted({film.source for film in self.films})
        return {"reader": self.reader, "names": names, "films": len(self.films), "notes": list(self.notes)}


def read(where: str, entry: Mapping[str, Any], report: Callable[[str], None]) -> Source:
    """The films of one entry; `where` is its path in params.yaml, with which a ConfigError begins.

    `report` gets the reader's lines on what it left out; raises DataError as the reader does.
    """
    options = dict(entry)
    name = options.pop("reader", None)
    if name not in READERS:
        raise ConfigError(f"{where}.reader: {name!r} is none of {', '.join(READERS)}")
    _check_options(where, name, options)
    notes: list[str] = []
    try:
        films = tuple(READERS[name](**options, report=notes.append))
    except ConfigError as error:
        raise ConfigError(f"{where}.{error}") from error
    for note in notes:
        report(note)
    return Source(reader=name, films=films, notes=tuple(notes))


def merged(films: Iterable[Film]) -> list[Film]:
    """Every Image Index once: its largest film, the first of equals, on the official side that any of them knows.

    Films of one Image Index show one patient: where sources name the patient differently, the first name stands for
    all, so that the split sees one person.
    """
    groups: dict[str, list[Film]] = {}
    for film in films:
        groups.setdefault(film.image_index, []).append(film)
    patients = _same_patients(groups.values())
    return [
        dataclasses.replace(
            max(group, key=_size) if len(group) > 1 else group[0],
            patient_id=patients[group[0].patient_id],
            official=next((film.official for film in group if film.official), ""),
        )
        for group in groups.values()
    ]


def _same_patients(groups: Iterable[Sequence[Film]]) -> dict[str, str]:
    """The name that stands for each patient: films of one group join their patients (union-find)."""
    joined: dict[str, str] = {}

    def standing(patient: str) -> str:
        while joined.setdefault(patient, patient) != patient:
            patient = joined[patient]
        return patient

    for group in groups:
        first = standing(group[0].patient_id)
        for film in group[1:]:
            joined[standing(film.patient_id)] = first
    return {patient: standing(patient) for patient in tuple(joined)}


def _size(film: Film) -> int:
    try:
        return film.read_size()
    except DataError:
        return 0


def _check_options(where: str, name: str, options: Mapping[str, Any]) -> None:
    """Refuse an option that the reader does not know, lacks, or wants of another type."""
    hints = typing.get_type_hints(READERS[name])
    parameters = {key: p for key, p in inspect.signature(READERS[name]).parameters.items() if key != "report"}
    for key, value in options.items():
        if key not in parameters:
            raise ConfigError(f"{where}.{key}: unknown option of reader {name}; known: {', '.join(parameters)}")
        if not _fits(value, hints[key]):
            raise ConfigError(f"{where}.{key}: {value!r} is no {_said(hints[key])}")
    for key, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and key not in options:
            raise ConfigError(f"{where}.{key}: missing, reader {name} needs it")


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(hint, types.UnionType):
        return any(_fits(value, part) for part in typing.get_args(hint))
    kind = typing.get_origin(hint) or hint
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _said(hint: Any) -> str:
    """A type in the words of YAML."""
    if isinstance(hint, types.UnionType):
        return " or ".join(_said(part) for part in typing.get_args(hint) if part is not types.NoneType)
    words = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return words.get(typing.get_origin(hint) or hint, "mapping")
