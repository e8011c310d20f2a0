"""A CSV of labels beside films: which file it is, which of its columns mean what, which film each row names."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from synthcxr.data.findings import canonicalize_finding, to_multi_hot
from synthcxr.errors import ConfigError, DataError
from synthcxr.readers import csv_table

IMAGE = ("Image Index", "image", "image_path", "file_name", "filename", "file", "path")
LABELS = ("Finding Labels", "labels", "label", "findings", "finding", "class")
PATIENT = ("Patient ID", "patient_id", "patientid", "patient")
VIEW = ("View Position", "view_position", "view")
_USUAL = ("labels.csv", "metadata.csv")


def listing(root: Path, csv: str | None) -> Path | None:
    """The CSV to read: the given one, the only one, or the one with a usual name; None where there is none."""
    if csv is not None:
        return root / csv
    found = sorted(root.glob("*.csv"))
    usual = [file for file in found if file.name in _USUAL]
    if len(found) > 1 and len(usual) != 1:
        raise DataError(f"{root}: several CSV files ({', '.join(f.name for f in found)}); say which with `csv`")
    return next(iter(usual or found), None)


def aliases(given: Mapping[str, str]) -> dict[str, str]:
    """The option `map`, each target a finding; ConfigError, beginning with the option, for one that is none."""
    for name, target in given.items():
        try:
            canonicalize_finding(str(target))
        except DataError as error:
            raise ConfigError(f"map.{name}: {error}") from error
    return {str(name): str(target) for name, target in given.items()}


def findings(text: str, *, separator: str | None, aliases: Mapping[str, str], absent: bool) -> tuple[float, ...]:
    """The vector of a label text; findings that it does not name are zeros, or NaN unless `absent`."""
    values = to_multi_hot([text] if separator is None else text.split(separator), aliases)
    if absent or not any(values):
        return values
    return tuple(value or math.nan for value in values)


def walk(folder: Path, wanted: Callable[[Path], bool]) -> Iterator[Path]:
    """Files that are wanted in and below a folder, sorted, links followed once, hidden ones left out."""
    yield from _walk(folder, wanted, visited=set())


def _walk(folder: Path, wanted: Callable[[Path], bool], *, visited: set[Path]) -> Iterator[Path]:
    if folder.resolve() in visited:
        return
    visited.add(folder.resolve())
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith((".", "__MACOSX")):
            continue
        if entry.is_dir():
            yield from _walk(entry, wanted, visited=visited)
        elif wanted(entry):
            yield entry


def locate(
    root: Path, files: Sequence[Path], listed: csv_table.Table, *, also: Mapping[str, Path] | None = None
) -> dict[int, Path]:
    """The file of each row that has one: by path below the root, else by its name with or without the suffix.

    `also` holds other names that a row may call a file by. DataError for a row that fits several files.
    """
    by_path = {file.relative_to(root).as_posix(): file for file in files} | dict(also or {})
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


def report_counts(
    root: Path, listed: csv_table.Table, *, found: Collection[int], n_files: int, report: Callable[[str], None]
) -> None:
    """A line each for rows without a file and files without a row; DataError where no row has a file."""
    if not found:
        raise DataError(
            f"{root}: no films found: none of the {len(listed):,} that {listed.path.name} lists is below it"
        )
    if len(found) < len(listed):
        report(f"{root}: {len(listed) - len(found):,} of {len(listed):,} listed films are absent, {len(found):,} found")
    if len(found) < n_files:
        report(f"{root}: {n_files - len(found):,} image files are not listed in {listed.path.name} and are left out")


def report_unlabelled(root: Path, vectors: Collection[tuple[float, ...]], report: Callable[[str], None]) -> None:
    """A line on films whose labels leave findings unknown."""
    n_unknown = sum(any(math.isnan(value) for value in values) for values in vectors)
    if n_unknown:
        report(f"{root}: {n_unknown:,} films leave findings unknown (`others: absent` takes those not named as absent)")
