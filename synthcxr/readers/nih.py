"""Read films of NIH ChestX-ray14: the release or a part of it, or a smaller copy with a labels.csv."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from synthcxr.data import images
from synthcxr.data.films import Film
from synthcxr.data.findings import LABEL_SEPARATOR
from synthcxr.data.number_format import format_quantity
from synthcxr.errors import DataError
from synthcxr.readers import csv_table, film_files, label_csv
from synthcxr.readers.csv_table import CsvTable
from synthcxr.readers.label_csv import LabelledFilm
from synthcxr.readers.reader import Reader, describe_options
from synthcxr.storage import guarded_files

_ATTRIBUTION = (
    "NIH ChestX-ray14, provided by the NIH Clinical Center: https://nihcc.app.box.com/v/ChestXray-NIHCC. "
    "X. Wang, Y. Peng, L. Lu, Z. Lu, M. Bagheri, R. M. Summers, ChestX-ray8: Hospital-scale Chest X-ray Database and "
    "Benchmarks on Weakly-Supervised Classification and Localization of Common Thorax Diseases, IEEE CVPR 2017, "
    "pp. 3462-3471. By its terms the use of the films is not restricted; they ask for this link, citation and credit."
)
_COLUMNS = {
    "image": ("Image Index",),
    "patient": ("Patient ID",),
    "view": ("View Position",),
}
_OPTIONAL_COLUMNS = {"source": ("Source",), "sex": csv_table.SEX_COLUMNS, "age": csv_table.AGE_COLUMNS}
_OFFICIAL_LISTS = {"train_val_list.txt": "train_val", "test_list.txt": "test"}
_LABEL_COLUMNS = ("Finding Labels",)


def read_films(
    path: str, *, source: str = "nih", csv: str | None = None, report: Callable[[str], None] = lambda line: None
) -> Iterator[Film]:
    """Read the films in the folder `path` that its table lists, in the order of the table.

    The table is `csv`, else Data_Entry_2017*.csv (the last by name), else labels.csv. Its optional column Source gives
    the source of each film. Several rows of a film are merged. `report` receives one line each about absent, unlisted
    and unlabelled films. A film with contradictory labels cannot be read, which `prepare.on_bad` handles. Raises
    DataError if the folder, the table, a column or every film is missing, and for an unknown finding.
    """
    root = film_files.find_folder(path)
    table = _read_table(_find_table(root, csv))
    parse_text = functools.partial(label_csv.parse_labels, separator=LABEL_SEPARATOR, aliases={}, others_absent=True)
    labelled_films = label_csv.merge_rows(table, label_csv.read_findings(table, parse_text), report)
    rows = [film.row for film in labelled_films]
    files, file_of_row = _locate_films(root, table, rows, report)
    film_files.report_counts(root, table, rows, file_of_row, files=files, report=report)
    n_unlabelled = sum(all(map(math.isnan, film.findings)) and not film.error for film in labelled_films)
    if n_unlabelled:
        report(f"{table.path}: no labels in {format_quantity(n_unlabelled, 'row')}: findings unknown")
    n_without_patient = sum(not table["patient"][row] for row in file_of_row)
    if n_without_patient:
        report(
            f"{root}: warning: no Patient ID for {format_quantity(n_without_patient, 'film')}: each counts as one"
            " patient, so films of one person may be in two splits"
        )
    official_lists = _read_official_lists(root)
    located_films = [film for film in labelled_films if film.row in file_of_row]
    return iter(
        [
            _build_film(table, film, file_of_row[film.row], official_lists, source)
            for film in label_csv.leave_out_lateral(table, located_films, report)
        ]
    )


def matches_layout(path: Path) -> bool:
    """Return whether the folder contains a table with the NIH's columns."""
    try:
        _read_table(_find_table(path, None))
    except DataError:
        return False
    return True


def _read_table(path: Path) -> CsvTable:
    return label_csv.read_table(path, required=_COLUMNS, labels=_LABEL_COLUMNS, optional=_OPTIONAL_COLUMNS, aliases={})


def _build_film(
    table: CsvTable, labelled: LabelledFilm, file: Path, official_lists: Mapping[str, str], source: str
) -> Film:
    row, name = labelled.row, table["image"][labelled.row]
    patient = csv_table.normalise_patient_id(table["patient"][row])
    sex, age = csv_table.read_sex_and_age(table, row)
    unreadable = functools.partial(label_csv.refuse_contradiction, labelled.error) if labelled.error else None
    return Film(
        image_index=name,
        patient_id=patient or f"{source}:{name}",
        source=(table["source"][row] if "source" in table else "") or source,
        view=csv_table.parse_view(table["view"][row]),
        findings=labelled.findings,
        read=unreadable or functools.partial(images.read, file),
        read_size=unreadable or functools.partial(images.read_shorter_side, file),
        origin=str(file),
        file=file,
        official=official_lists.get(name, ""),
        sex=sex,
        age=age,
    )


def _find_table(root: Path, csv: str | None) -> Path:
    if csv is not None:
        return root / csv
    tables = sorted(root.glob("Data_Entry_2017*.csv"))
    if tables:
        return tables[-1]
    if (root / "labels.csv").is_file():
        return root / "labels.csv"
    raise DataError(f"{root}: contains neither Data_Entry_2017*.csv nor labels.csv; give the folder of the NIH release")


def _locate_films(
    root: Path, table: CsvTable, rows: Sequence[int], report: Callable[[str], None]
) -> tuple[Sequence[Path], dict[int, Path]]:
    """Find the files, and the file of each row: in the folders of the release, else anywhere below the root."""
    files = _find_images(root)
    file_of_row = {row: files[name] for row in rows if (name := table["image"][row]) in files}
    absent_rows = [row for row in rows if row not in file_of_row]
    if not absent_rows:
        return list(files.values()), file_of_row
    located_names = {table["image"][row] for row in file_of_row}
    other_files = [file for file in film_files.find_images(root, report) if file.name not in located_names]
    other_file_of_row = film_files.locate_films(root, other_files, table, absent_rows, report=report)
    all_files = dict.fromkeys((*files.values(), *(other_files if not files else other_file_of_row.values())))
    file_of_row |= other_file_of_row
    return list(all_files), {row: file_of_row[row] for row in rows if row in file_of_row}


def _find_images(root: Path) -> dict[str, Path]:
    """Find the image files by name in the folders of the release; if two have the same name, the first counts."""
    files: dict[str, Path] = {}
    for folder in (root, root / "images", *sorted(root.glob("images_*")), *sorted(root.glob("images_*/images"))):
        if folder.is_dir():
            for file in sorted(folder.iterdir()):
                if film_files.is_image(file):
                    files.setdefault(file.name, file)
    return files


def _read_official_lists(root: Path) -> dict[str, str]:
    """Read the official list of each film from the release's two lists, if they are in the folder."""
    list_of_film: dict[str, str] = {}
    for file_name, list_name in _OFFICIAL_LISTS.items():
        if (root / file_name).is_file():
            for film in guarded_files.read_text(root / file_name).split():
                if list_of_film.setdefault(film, list_name) != list_name:
                    raise DataError(f"{root / file_name}: {film} is in both official lists")
    return list_of_film


READER = Reader(
    name="nih",
    films="the NIH release, or a `labels.csv` with its columns",
    read=read_films,
    options=describe_options("path", "source", "csv"),
    matches=matches_layout,
    attribution=_ATTRIBUTION,
)
