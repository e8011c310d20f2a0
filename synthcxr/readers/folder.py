"""Films of any folder: one sub-folder per class, or a CSV that names each image and its labels."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from synthcxr.data import images
from synthcxr.data.films import Film
from synthcxr.data.findings import LABEL_SEPARATOR
from synthcxr.errors import ConfigError, DataError
from synthcxr.readers import csv_table, label_csv

ATTRIBUTION = ""
_SUFFIXES = {".png", ".jpg", ".jpeg"}


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
    separator: str = LABEL_SEPARATOR,
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
    aliases = label_csv.aliases(map or {})
    files = _files(root)
    listing = label_csv.listing(root, csv)
    if listing is None:
        parse = functools.partial(label_csv.findings, separator=None, aliases=aliases, absent=others == "absent")
        entries = _by_folder(root, files, parse)
    else:
        parse = functools.partial(label_csv.findings, separator=separator, aliases=aliases, absent=others != "unknown")
        roles = {
            "image": (image_column,) if image_column else label_csv.IMAGE,
            "labels": (label_column,) if label_column else label_csv.LABELS,
            "patient": (patient_column,) if patient_column else label_csv.PATIENT,
            "view": (view_column,) if view_column else label_csv.VIEW,
        }
        given = {role for role, name in (("patient", patient_column), ("view", view_column)) if name}
        entries = _by_table(root, files, listing, roles=roles, given=given, parse=parse, report=report)
    films = [_film(entry, source=source, pattern=pattern, view=view) for entry in entries]
    _report_assumptions(root, films, report)
    return iter(films)


def fits(path: Path) -> bool:
    """Whether a folder holds a CSV with an image and a label column, or images in folders named for findings."""
    try:
        listing = label_csv.listing(path, None)
        if listing is not None:
            csv_table.read(listing, required={"image": label_csv.IMAGE, "labels": label_csv.LABELS})
        return any(listing is not None or file.parent != path for file in label_csv.walk(path, _is_film))
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


def _files(root: Path) -> list[Path]:
    if not root.is_dir():
        raise DataError(f"{root}: no such folder of films")
    files = list(label_csv.walk(root, _is_film))
    if not files:
        raise DataError(f"{root}: no films found: it holds no PNG or JPEG file")
    return files


def _is_film(file: Path) -> bool:
    return file.suffix.lower() in _SUFFIXES


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
    listed = csv_table.read(listing, required=required, optional=roles)
    csv_table.refuse_repeats(listed)
    findings = csv_table.findings(listed, parse)
    found = label_csv.locate(root, files, listed)
    label_csv.report_counts(root, listed, found=found, n_files=len(files), report=report)
    for row, file in found.items():
        patient = listed["patient"][row] if "patient" in listed else ""
        view = csv_table.view(listed["view"][row]) if "view" in listed else ""
        yield _Entry(listed["image"][row], file, findings[row], patient, view)


def _film(entry: _Entry, *, source: str, pattern: re.Pattern[str] | None, view: str) -> Film:
    patient = csv_table.unpadded(entry.patient)
    if pattern is not None and not patient:
        match = pattern.search(entry.file.name)
        patient = "" if match is None else csv_table.unpadded(match[1 if pattern.groups else 0] or "")
        if not patient:
            raise DataError(f"{entry.file}: patient_pattern {pattern.pattern!r} finds no patient in its name")
    return Film(
        image_index=entry.image_index,
        patient_id=patient or _own(source, entry.image_index),
        source=source,
        view=entry.view or view,
        findings=entry.findings,
        read=functools.partial(images.read, entry.file),
        read_size=functools.partial(images.read_shorter_side, entry.file),
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
    label_csv.report_unlabelled(root, [film.findings for film in films], report)
