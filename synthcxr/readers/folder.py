"""Films of any folder: one sub-folder per class, or a CSV that names each image and its labels."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from synthcxr import images, labels
from synthcxr.errors import ConfigError, DataError
from synthcxr.readers import table
from synthcxr.records import Film

ATTRIBUTION = ""
_IMAGE = ("Image Index", "image", "image_path", "file_name", "filename", "file", "path")
_LABELS = ("Finding Labels", "labels", "label", "findings", "finding", "class")
_PATIENT = ("Patient ID", "patient_id", "patientid", "patient")
_VIEW = ("View Position", "view_position", "view")
_SUFFIXES = {".png", ".jpg", ".jpeg"}
_USUAL = ("labels.csv", "metadata.csv")


@dataclasses.dataclass(frozen=True)
class _Entry:
    """What the folder says of one film; `patient` is empty where it says nothing."""

    image_index: str
    file: Path
    findings: tuple[float, ...]
    patient: str
    view: str


def read(
    path: str,
    *,
    source: str = "folder",
    csv: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    separator: str = labels.SEPARATOR,
    map: Mapping[str, str] | None = None,
    others: str | None = None,
    patient_column: str | None = None,
    patient_pattern: str | None = None,
    view: str = "",
    view_column: str | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Iterator[Film]:
    """The PNG and JPEG films below the folder `path`, labelled by its CSV or, without one, by their folders' names.

    Columns are found by their usual names unless given. Labels are split at `separator` and matched in any case;
    `map` sends other names to findings. `others` says what a film's labels mean for the findings they do not name:
    "absent" (default with a CSV) or "unknown" (default with a folder per class, which names one finding of fourteen).
    Patients come from a column or from the first group of `patient_pattern` in the file name. `report` gets a line
    for all that is absent, left out or assumed. Raises DataError for films, columns or findings that are not there,
    and ConfigError, its message beginning with the option's name, for an option that cannot be used.
    """
    root = Path(path).expanduser()
    _check_options(others=others, view=view)
    pattern = _compiled(patient_pattern)
    aliases = _checked(map or {})
    files = _files(root)
    listing = _listing(root, csv)
    if listing is None:
        parse = functools.partial(_findings, separator=None, aliases=aliases, absent=others == "absent")
        entries = _by_folder(root, files, parse)
    else:
        parse = functools.partial(_findings, separator=separator, aliases=aliases, absent=others != "unknown")
        roles = {
            "image": (image_column,) if image_column else _IMAGE,
            "labels": (label_column,) if label_column else _LABELS,
            "patient": (patient_column,) if patient_column else _PATIENT,
            "view": (view_column,) if view_column else _VIEW,
        }
        given = {role for role, name in (("patient", patient_column), ("view", view_column)) if name}
        entries = _by_table(root, files, listing, roles=roles, given=given, parse=parse, report=report)
    films = [_film(entry, source=source, pattern=pattern, view=view) for entry in entries]
    _report_assumptions(root, films, report)
    return iter(films)


def fits(path: Path) -> bool:
    """Whether a folder holds a CSV with an image and a label column, or images in folders named for findings."""
    try:
        listing = _listing(path, None)
        if listing is not None:
            table.read(listing, required={"image": _IMAGE, "labels": _LABELS})
        return any(listing is not None or file.parent != path for file in _walk(path, visited=set()))
    except DataError:
        return False


def _check_options(*, others: str | None, view: str) -> None:
    if others not in {None, "absent", "unknown"}:
        raise ConfigError(f"others: {others!r} is neither absent nor unknown")
    if view not in {"", "PA", "AP"}:
        raise ConfigError(f"view: {view!r} is neither PA nor AP")


def _compiled(patient_pattern: str | None) -> re.Pattern[str] | None:
    try:
        return None if patient_pattern is None else re.compile(patient_pattern)
    except re.error as error:
        raise ConfigError(f"patient_pattern: {patient_pattern!r} is no regular expression: {error}") from error


def _checked(aliases: Mapping[str, str]) -> dict[str, str]:
    for name, target in aliases.items():
        try:
            labels.canonical(str(target))
        except DataError as error:
            raise ConfigError(f"map.{name}: {error}") from error
    return {str(name): str(target) for name, target in aliases.items()}


def _findings(text: str, *, separator: str | None, aliases: Mapping[str, str], absent: bool) -> tuple[float, ...]:
    """The vector of a label text; findings that it does not name are zeros, or NaN unless `absent`."""
    values = labels.vector([text] if separator is None else text.split(separator), aliases)
    if absent or not any(values):
        return values
    return tuple(value or math.nan for value in values)


def _files(root: Path) -> list[Path]:
    if not root.is_dir():
        raise DataError(f"{root}: no such folder of films")
    files = list(_walk(root, visited=set()))
    if not files:
        raise DataError(f"{root}: no films found: it holds no PNG or JPEG file")
    return files


def _walk(folder: Path, *, visited: set[Path]) -> Iterator[Path]:
    """Image files in and below a folder, sorted, links followed once, hidden ones left out."""
    if folder.resolve() in visited:
        return
    visited.add(folder.resolve())
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith((".", "__MACOSX")):
            continue
        if entry.suffix.lower() in _SUFFIXES:
            yield entry
        elif entry.is_dir():
            yield from _walk(entry, visited=visited)


def _listing(root: Path, csv: str | None) -> Path | None:
    """The CSV to read: the given one, the only one, or the one with a usual name; None where there is none."""
    if csv is not None:
        return root / csv
    found = sorted(root.glob("*.csv"))
    usual = [file for file in found if file.name in _USUAL]
    if len(found) > 1 and len(usual) != 1:
        raise DataError(f"{root}: several CSV files ({', '.join(f.name for f in found)}); say which with `csv`")
    return next(iter(usual or found), None)


def _by_folder(root: Path, files: Sequence[Path], parse: Callable[[str], tuple[float, ...]]) -> Iterator[_Entry]:
    classes: dict[Path, tuple[float, ...]] = {}
    for file in files:
        if file.parent == root:
            raise DataError(f"{file}: lies in no class folder; make one per finding, or a CSV of images and labels")
        if file.parent not in classes:
            classes[file.parent] = _class_of(root, file.parent, parse)
        yield _Entry(file.relative_to(root).as_posix(), file, classes[file.parent], patient="", view="")


def _class_of(root: Path, folder: Path, parse: Callable[[str], tuple[float, ...]]) -> tuple[float, ...]:
    """The findings of the nearest folder named for one, so that train/NORMAL and Edema/series-1 are both understood."""
    refusals = []
    for part in reversed(folder.relative_to(root).parts):
        try:
            return parse(part)
        except DataError as error:
            refusals.append(error)
    raise DataError(f"{folder}: {refusals[0]}; rename the folder or send its name to a finding with `map`")


def _by_table(
    root: Path,
    files: Sequence[Path],
    listing: Path,
    *,
    roles: Mapping[str, tuple[str, ...]],
    given: set[str],
    parse: Callable[[str], tuple[float, ...]],
    report: Callable[[str], None],
) -> Iterator[_Entry]:
    required = {role: names for role, names in roles.items() if role in {"image", "labels"} | given}
    listed = table.read(listing, required=required, optional=roles)
    table.refuse_repeats(listed)
    findings = table.findings(listed, parse)
    found = _locate(root, files, listed)
    if not found:
        raise DataError(f"{root}: no films found: none of the {len(listed):,} that {listing.name} lists is below it")
    if len(found) < len(listed):
        report(f"{root}: {len(listed) - len(found):,} of {len(listed):,} listed films are absent, {len(found):,} found")
    if len(found) < len(files):
        report(f"{root}: {len(files) - len(found):,} image files are not listed in {listing.name} and are left out")
    for row, file in found.items():
        patient = listed["patient"][row] if "patient" in listed else ""
        view = table.view(listed["view"][row]) if "view" in listed else ""
        yield _Entry(listed["image"][row], file, findings[row], patient, view)


def _locate(root: Path, files: Sequence[Path], listed: table.Table) -> dict[int, Path]:
    """The file of each row that has one: by path below the root, else by its name with or without the suffix."""
    by_path = {file.relative_to(root).as_posix(): file for file in files}
    by_name: dict[str, list[Path]] = {}
    for file in files:
        for name in {file.name, file.stem}:
            by_name.setdefault(name, []).append(file)
    found: dict[int, Path] = {}
    for row, name in enumerate(listed["image"]):
        candidates = [by_path[name]] if name in by_path else by_name.get(name, [])
        if len(candidates) > 1:
            raise listed.refuse(row, f"{name} fits several files: {candidates[0]}, {candidates[1]}")
        if candidates:
            found[row] = candidates[0]
    return found


def _film(entry: _Entry, *, source: str, pattern: re.Pattern[str] | None, view: str) -> Film:
    patient = table.unpadded(entry.patient)
    if pattern is not None and not patient:
        match = pattern.search(entry.file.name)
        patient = "" if match is None else table.unpadded(match[1 if pattern.groups else 0] or "")
        if not patient:
            raise DataError(f"{entry.file}: patient_pattern {pattern.pattern!r} finds no patient in its name")
    return Film(
        image_index=entry.image_index,
        patient_id=patient or _own(source, entry.image_index),
        source=source,
        view=entry.view or view,
        findings=entry.findings,
        read=functools.partial(images.read, entry.file),
        read_size=functools.partial(images.read_size, entry.file),
        origin=str(entry.file),
    )


def _own(source: str, image_index: str) -> str:
    return f"{source}:{image_index}"


def _report_assumptions(root: Path, films: Sequence[Film], report: Callable[[str], None]) -> None:
    n_own = sum(film.patient_id == _own(film.source, film.image_index) for film in films)
    if n_own:
        report(
            f"{root}: warning: {n_own:,} films name no patient and count as one patient each, so that one person's "
            "films may stand on two sides of the split; give patient_column or patient_pattern"
        )
    n_unknown = sum(any(math.isnan(value) for value in film.findings) for film in films)
    if n_unknown:
        report(f"{root}: {n_unknown:,} films leave findings unknown (`others: absent` takes those not named as absent)")
