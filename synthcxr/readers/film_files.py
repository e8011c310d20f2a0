"""Find the film files below a folder, and the file of each row of a table, whatever machine wrote its paths."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from synthcxr.data import left_out
from synthcxr.data.left_out import Reason
from synthcxr.data.number_format import format_quantity
from synthcxr.errors import DataError
from synthcxr.readers.csv_table import CsvTable

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"}
DICOM_SUFFIXES = {".dcm", ".dicom"}
_FILM_SUFFIXES = IMAGE_SUFFIXES | DICOM_SUFFIXES
_MASK_NAME = re.compile(r"(.*[ _.-])?(mask|masks|segmentation)", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]+")
_MIN_SHARED_PARTS = 2


def expand_home(path: str) -> Path:
    """Replace a ~ at the start by the home folder; the ~ of an unknown user stays."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises for an unknown user


def find_folder(path: str) -> Path:
    """Return the folder at `path`, which may begin with ~; DataError if there is none."""
    folder = expand_home(path)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    return folder


def walk_files(folder: Path, accepts: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield the accepted files in and below a folder, sorted, without hidden ones; links are followed once."""
    yield from _walk(folder, accepts, visited=set())


def _walk(folder: Path, accepts: Callable[[Path], bool], *, visited: set[Path]) -> Iterator[Path]:
    if folder.resolve() in visited:
        return
    visited.add(folder.resolve())
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith((".", "__MACOSX")):
            continue
        if entry.is_dir():
            yield from _walk(entry, accepts, visited=visited)
        elif accepts(entry):
            yield entry


def is_image(file: Path) -> bool:
    """Return whether the name of a file has the suffix of an image."""
    return file.suffix.lower() in IMAGE_SUFFIXES


def find_images(root: Path, report: Callable[[str], None]) -> list[Path]:
    """Find the images below a folder without masks (x_mask.png, masks/x.png), whose number is reported."""
    files = list(walk_files(root, is_image))
    films = [file for file in files if not _is_mask(file.relative_to(root))]
    if len(films) < len(files):
        example = next(file for file in files if _is_mask(file.relative_to(root))).relative_to(root).as_posix()
        n_masks = len(files) - len(films)
        line = f"{root}: left out {format_quantity(n_masks, 'mask')}, such as {example}"
        left_out.report_left_out(report, line, Reason.MASK, n_masks, example)
    return films


def _is_mask(file: Path) -> bool:
    return any(_MASK_NAME.fullmatch(name) for name in (file.stem, *file.parts[:-1]))


def locate_films(
    root: Path,
    files: Sequence[Path],
    table: CsvTable,
    rows: Sequence[int],
    *,
    extra_names: Mapping[str, Path] | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> dict[int, Path]:
    """Find the file of each row: by its path below the root, else by the longest tail that both paths share.

    A tail begins with the file name; case, backslashes and the suffix of an image do not matter. Either path may have
    more folders at its top. If both have, the tail must contain a folder, and the folders before it must not be two
    numbers of one kind (patient00001, patient00002). `extra_names` are other names that a row may use for a file. Rows
    without a file are left out. Raises DataError for a row that matches several files, and for two rows that match one.
    """
    by_path = {file.relative_to(root).as_posix(): file for file in files} | dict(extra_names or {})
    by_name: dict[str, list[Path]] = {}
    for file in files:
        by_name.setdefault(_fold_parts(file.name)[0], []).append(file)
    matches: dict[int, tuple[tuple[int, bool, bool], Path]] = {}
    n_other_folders, example = 0, ""
    for row in rows:
        name = table["image"][row]
        if name in by_path:
            matches[row] = ((len(Path(name).parts) + 1, True, True), by_path[name])
            continue
        listed = _fold_parts(name)
        if not listed:
            continue
        scored = [(_score(name, listed, root, file), file) for file in by_name.get(listed[0], [])]
        if not scored:
            continue
        best_score = max(score for score, _ in scored)
        best = [file for score, file in scored if score == best_score]
        if not _may_match(listed, _fold_parts(best[0].relative_to(root).as_posix()), best_score[0]):
            continue
        if len(best) > 1:
            raise table.row_error(row, f"{name} matches several files: {best[0]}, {best[1]}; give more of the path")
        if best_score[0] < len(listed):
            n_other_folders += 1
            example = example or f"{name} is {best[0].relative_to(root).as_posix()}"
        matches[row] = (best_score, best[0])
    file_of_row = _resolve_claims(table, matches)
    if example:
        report(
            f"{root}: found {format_quantity(n_other_folders, 'film')} in other folders than {table.path.name} "
            f"says: {example}"
        )
    return file_of_row


def _fold_parts(path: str) -> list[str]:
    """Split a path into parts from the file name up, in lower case, without the suffix of a film."""
    parts = [part.casefold() for part in path.replace("\\", "/").split("/") if part not in {"", "."}][::-1]
    if parts and Path(parts[0]).suffix in _FILM_SUFFIXES:
        parts[0] = Path(parts[0]).stem
    return parts


def _score(name: str, listed: Sequence[str], root: Path, file: Path) -> tuple[int, bool, bool]:
    """Compare a listed path with a file: the number of shared parts, then the suffix, then the case."""
    present = _fold_parts(file.relative_to(root).as_posix())
    n_shared = next(
        (n for n, (a, b) in enumerate(zip(listed, present, strict=False)) if a != b), min(len(listed), len(present))
    )
    is_same_case = name.replace("\\", "/").rpartition("/")[2] in {file.name, file.stem}
    return n_shared, Path(name).suffix.lower() in {"", file.suffix.lower()}, is_same_case


def _may_match(listed: Sequence[str], present: Sequence[str], n_shared: int) -> bool:
    if n_shared in {len(listed), len(present)}:
        return True
    a, b = listed[n_shared], present[n_shared]
    return n_shared >= _MIN_SHARED_PARTS and _DIGITS.sub("0", a) != _DIGITS.sub("0", b)


def _resolve_claims(table: CsvTable, matches: Mapping[int, tuple[tuple[int, bool, bool], Path]]) -> dict[int, Path]:
    """Give each file to the row that matches it best; DataError if two rows match it equally."""
    rows_of_file: dict[Path, list[int]] = {}
    for row, (_, file) in matches.items():
        rows_of_file.setdefault(file, []).append(row)
    for file, rows in rows_of_file.items():
        best_score = max(matches[row][0] for row in rows)
        rows[:] = [row for row in rows if matches[row][0] == best_score]
        if len(rows) > 1:
            first, second = (table["image"][row] for row in rows[:2])
            raise table.row_error(rows[1], f"{second} and {first} match one file, {file}; give more of the path")
    return {row: file for row, (_, file) in matches.items() if rows_of_file[file] == [row]}


def report_counts(
    root: Path,
    table: CsvTable,
    rows: Sequence[int],
    file_of_row: Mapping[int, Path],
    *,
    files: Sequence[Path],
    listed: Collection[Path] = (),
    report: Callable[[str], None],
) -> None:
    """Report how many films have no file and how many files have no row; DataError if no film has a file.

    `listed` are files of other rows than `rows`.
    """
    n_films, n_located = len(rows), len(file_of_row)
    if not n_located:
        raise DataError(
            f"{root}: no films found: {table.path.name} lists {format_quantity(n_films, 'film')}, none is below "
            "this folder"
            f"{describe_mismatch(root, table['image'], files)}"
        )
    report_absent(root, table, [row for row in rows if row not in file_of_row], n_films=n_films, report=report)
    report_unlisted(root, [table], files, {*listed, *file_of_row.values()}, report)


def report_unlisted(
    root: Path,
    tables: Sequence[CsvTable],
    files: Sequence[Path],
    listed: Collection[Path],
    report: Callable[[str], None],
) -> None:
    """Report how many files are not among the `listed` ones of the tables."""
    unlisted = [file for file in files if file not in listed]
    if unlisted:
        names = " or ".join(table.path.name for table in tables)
        line = f"{root}: left out {format_quantity(len(unlisted), 'image file')}, not listed in {names}"
        left_out.report_left_out(
            report, line, Reason.NOT_LISTED, len(unlisted), unlisted[0].relative_to(root).as_posix()
        )


def report_absent(
    root: Path, table: CsvTable, absent_rows: Sequence[int], *, n_films: int, report: Callable[[str], None]
) -> None:
    """Report how many of the listed films have no file."""
    if absent_rows:
        n_absent = len(absent_rows)
        line = f"{root}: found {n_films - n_absent:,} of {format_quantity(n_films, 'listed film')}, {n_absent:,} absent"
        left_out.report_left_out(report, line, Reason.ABSENT, n_absent, table["image"][absent_rows[0]])


def describe_mismatch(root: Path, names: Sequence[str], files: Sequence[Path]) -> str:
    """Describe one listed path beside one present file, and what to do."""
    listed = f": it lists {names[0]}" if names else ": it has no rows"
    present = f"the folder contains {files[0].relative_to(root).as_posix()}" if files else "the folder contains no film"
    return f"{listed}, and {present}; correct the paths in the table, or give another folder"
