"""Read films of CheXpert: the release (train.csv, valid.csv), CheXpert Plus, and tables of other labellers.

Source: Irvin et al., CheXpert, AAAI 2019.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from synthcxr.data import images, left_out
from synthcxr.data.films import Film
from synthcxr.data.left_out import Reason
from synthcxr.data.number_format import format_quantity
from synthcxr.errors import DataError
from synthcxr.readers import chexpert_labels, csv_table, film_files, label_csv
from synthcxr.readers.csv_table import CsvTable
from synthcxr.readers.label_csv import LabelledFilm
from synthcxr.readers.reader import Reader, describe_options
from synthcxr.storage import guarded_files

_ATTRIBUTION = (
    "CheXpert, Stanford Machine Learning Group: J. Irvin, P. Rajpurkar, M. Ko et al., CheXpert: A Large Chest "
    "Radiograph Dataset with Uncertainty Labels and Expert Comparison, AAAI 2019."
)
_COLUMNS = {"image": ("Path", "path_to_image")}
_OPTIONAL_COLUMNS = {
    "orientation": ("Frontal/Lateral", "frontal_lateral"),
    "view": ("AP/PA", "ap_pa"),
    "sex": csv_table.SEX_COLUMNS,
    "age": csv_table.AGE_COLUMNS,
    **chexpert_labels.COLUMNS,
}
_TABLE_FILES = ("train.csv", "valid.csv")
_PATIENT_PATTERN = re.compile(r"patient\d+")


def read_films(
    path: str,
    *,
    source: str = "chexpert",
    csv: str | None = None,
    uncertain_as: str = "unknown",
    blank_as: str = "unknown",
    report: Callable[[str], None] = lambda line: None,
) -> Iterator[Film]:
    """Read the frontal films in the folder `path` that its tables list, in the order of the tables.

    The tables are train.csv and valid.csv, else the only table with CheXpert's columns, or only `csv`. Several rows of
    a film are merged. `uncertain_as` is the meaning of an uncertain finding (-1) and `blank_as` of a blank one:
    "unknown", "present" or "absent". A film labelled No Finding has none of the 14 findings; if a finding is labelled
    present too, the film cannot be read, which `prepare.on_bad` handles. Without labels, the findings are unknown.
    `report` receives a line about observations, views and films that are left out.
    """
    root = film_files.find_folder(path)
    value_of_text = chexpert_labels.build_values(uncertain_as=uncertain_as, blank_as=blank_as)
    films: list[Film] = []
    tables = [_read_table(file) for file in _find_tables(root, csv)]
    files = film_files.find_images(root, report)
    n_frontal, lateral, absent = 0, list[str](), list[str]()
    listed_files: set[Path] = set()
    for table in tables:
        frontal_rows = [row for row in range(len(table)) if _is_frontal(table, row)]
        read_row = functools.partial(chexpert_labels.read_findings, table, value_of_text=value_of_text)
        labelled_films = label_csv.merge_rows(
            table, [label_csv.read_row_findings(table, row, read_row) for row in frontal_rows], report
        )
        is_frontal = set(frontal_rows)
        lateral_rows = [row for row in range(len(table)) if row not in is_frontal]
        rows = [film.row for film in labelled_films]
        file_of_row = _locate_films(root, table, [*rows, *lateral_rows], files, report)
        n_frontal += len(rows)
        lateral += [table["image"][row] for row in lateral_rows]
        absent += [table["image"][row] for row in rows if row not in file_of_row]
        listed_files |= set(file_of_row.values())
        films += [
            _build_film(table, film, file_of_row[film.row], source, root)
            for film in labelled_films
            if film.row in file_of_row
        ]
    if not films:
        names = [name for table in tables for name in table["image"]]
        raise DataError(
            f"{root}: no films found: none of the {n_frontal:,} frontal films in the tables is here"
            f"{film_files.describe_mismatch(root, names, files)}"
        )
    labelled_table = next((table for table in tables if chexpert_labels.has_labels(table)), None)
    chexpert_labels.report_observations(root, labelled_table, report)
    report_lines = (
        (lateral, Reason.NOT_FRONTAL, f"left out {format_quantity(len(lateral), 'lateral film')}"),
        (
            absent,
            Reason.ABSENT,
            f"found {len(films):,} of {format_quantity(n_frontal, 'listed film')}, {len(absent):,} absent",
        ),
    )
    for names, reason, line in report_lines:
        if names:
            left_out.report_left_out(report, f"{root}: {line}", reason, len(names), names[0])
    film_files.report_unlisted(root, tables, files, listed_files, report)
    return iter(films)


def matches_layout(path: Path) -> bool:
    """Return whether the folder contains a table with CheXpert's columns or paths."""
    try:
        return all(_has_columns(file) for file in _find_tables(path, None))
    except DataError:
        return False


def _find_tables(root: Path, csv: str | None) -> Sequence[Path]:
    if csv is not None:
        return [root / csv]
    tables = [root / name for name in _TABLE_FILES if (root / name).is_file()]
    tables = tables or [file for file in label_csv.list_tables(root) if _has_columns(file)]
    if not tables:
        raise DataError(
            f"{root}: contains neither {' nor '.join(_TABLE_FILES)}, nor another table with a column Path; give the "
            "folder of the CheXpert release"
        )
    if len(tables) > 1 and tables[0].name not in _TABLE_FILES:
        names = ", ".join(file.name for file in tables)
        raise DataError(f"{root}: several tables of films ({names}); choose one with the option `csv`")
    return tables


def _has_columns(file: Path) -> bool:
    try:
        table = _read_table(file)
    except DataError:
        return False
    return "orientation" in table or (len(table) > 0 and _PATIENT_PATTERN.search(table["image"][0]) is not None)


def _read_table(file: Path) -> CsvTable:
    table = csv_table.read_table(file, required=_COLUMNS, optional=_OPTIONAL_COLUMNS)
    csv_table.refuse_nameless_rows(table)
    return table


def _is_frontal(table: CsvTable, row: int) -> bool:
    """Return whether a film is frontal: by its column, else by its name (view1_frontal.jpg)."""
    orientation = table["orientation"][row] if "orientation" in table else ""
    if orientation:
        return orientation.lower() == "frontal"
    return "lateral" not in table["image"][row].lower()


def _locate_films(
    root: Path, table: CsvTable, rows: Sequence[int], files: Sequence[Path], report: Callable[[str], None]
) -> dict[int, Path]:
    """Find the files where the table says, and the others by the longest tail of their paths."""
    file_of_row = {row: file for row in rows if (file := _find_file(root, table["image"][row])) is not None}
    absent_rows = [row for row in rows if row not in file_of_row]
    if absent_rows:
        located = set(file_of_row.values())
        other_files = [file for file in files if file not in located]
        file_of_row |= film_files.locate_films(root, other_files, table, absent_rows, report=report)
    return file_of_row


def _find_file(root: Path, path: str) -> Path | None:
    """Find the file of a film below the root; the path in the table may begin with the folder of the release."""
    parts = PurePosixPath(path).parts
    if ".." in parts or PurePosixPath(path).is_absolute():
        return None
    for n_skipped in (1, 0):
        file = root.joinpath(*parts[n_skipped:])
        if guarded_files.is_file(file):
            return file
    return None


def _build_film(table: CsvTable, labelled: LabelledFilm, file: Path, source: str, root: Path) -> Film:
    row = labelled.row
    patient = _PATIENT_PATTERN.search(table["image"][row])
    if patient is None:
        raise table.row_error(row, f"{table['image'][row]} contains no patient; expected a part like patient00001")
    sex, age = csv_table.read_sex_and_age(table, row)
    unreadable = functools.partial(label_csv.refuse_contradiction, labelled.error) if labelled.error else None
    return Film(
        image_index=file.relative_to(root).as_posix(),
        patient_id=f"{source}:{patient[0]}",
        source=source,
        view=csv_table.parse_view(table["view"][row]) if "view" in table else "",
        findings=labelled.findings,
        read=unreadable or functools.partial(images.read, file),
        read_size=unreadable or functools.partial(images.read_shorter_side, file),
        origin=str(file),
        file=file,
        sex=sex,
        age=age,
    )


READER = Reader(
    name="chexpert",
    films=(
        "`train.csv`, `valid.csv` and the folders that they name; CheXpert Plus; another table with the column `Path`"
    ),
    read=read_films,
    options=describe_options("path", "source", "csv", "uncertain_as", "blank_as"),
    matches=matches_layout,
    attribution=_ATTRIBUTION,
)
