"""Read films of NIH ChestX-ray14: the release or a part of it, or a smaller copy with a labels.csv."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from synthcxr.data import images
from synthcxr.data.films import Film
from synthcxr.data.findings import parse_finding_labels
from synthcxr.errors import DataError
from synthcxr.readers import csv_table, label_csv
from synthcxr.readers.csv_table import CsvTable

ATTRIBUTION = (
    "NIH ChestX-ray14, provided by the NIH Clinical Center: https://nihcc.app.box.com/v/ChestXray-NIHCC. "
    "X. Wang, Y. Peng, L. Lu, Z. Lu, M. Bagheri, R. M. Summers, ChestX-ray8: Hospital-scale Chest X-ray Database and "
    "Benchmarks on Weakly-Supervised Classification and Localization of Common Thorax Diseases, IEEE CVPR 2017, "
    "pp. 3462-3471. By its terms the use of the films is not restricted; they ask for this link, citation and credit."
)
_COLUMNS = {
    "image": ("Image Index",),
    "labels": ("Finding Labels",),
    "patient": ("Patient ID",),
    "view": ("View Position",),
}
_OFFICIAL_LISTS = {"train_val_list.txt": "train_val", "test_list.txt": "test"}
_SUFFIXES = {".png", ".jpg", ".jpeg"}


def read_films(
    path: str, *, source: str = "nih", csv: str | None = None, report: Callable[[str], None] = lambda line: None
) -> Iterator[Film]:
    """Read the films in the folder `path` that its table lists, in the order of the table.

    The table is `csv`, else Data_Entry_2017*.csv (the last by name), else labels.csv. Its optional column Source gives
    the source of each film. `report` receives one line each about absent, unlisted and unlabelled films. Raises
    DataError if the folder, the table, a column or every film is missing, and for an unknown finding.
    """
    root = Path(path).expanduser()
    table = csv_table.read_table(_find_table(root, csv), required=_COLUMNS, optional={"source": ("Source",)})
    csv_table.refuse_duplicates(table)
    findings = csv_table.parse_findings(table, parse_finding_labels)
    files = _find_images(root)
    rows = [row for row, name in enumerate(table["image"]) if name in files]
    _report_counts(root, table, n_located=len(rows), n_files=len(files), report=report)
    official_lists = _read_official_lists(root)
    return iter([_build_film(table, row, findings[row], files, official_lists, source) for row in rows])


def matches_layout(path: Path) -> bool:
    """Return whether the folder contains a table with the NIH's columns."""
    try:
        csv_table.read_table(_find_table(path, None), required=_COLUMNS)
    except DataError:
        return False
    return True


def _build_film(
    table: CsvTable,
    row: int,
    findings: tuple[float, ...],
    files: Mapping[str, Path],
    official_lists: Mapping[str, str],
    source: str,
) -> Film:
    name = table["image"][row]
    if not table["patient"][row]:
        raise table.row_error(row, "no Patient ID")
    return Film(
        image_index=name,
        patient_id=csv_table.normalise_patient_id(table["patient"][row]),
        source=(table["source"][row] if "source" in table else "") or source,
        view=csv_table.parse_view(table["view"][row]),
        findings=findings,
        read=functools.partial(images.read, files[name]),
        read_size=functools.partial(images.read_shorter_side, files[name]),
        origin=str(files[name]),
        official=official_lists.get(name, ""),
    )


def _find_table(root: Path, csv: str | None) -> Path:
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    if csv is not None:
        return root / csv
    tables = sorted(root.glob("Data_Entry_2017*.csv"))
    if tables:
        return tables[-1]
    if (root / "labels.csv").is_file():
        return root / "labels.csv"
    raise DataError(f"{root}: contains neither Data_Entry_2017*.csv nor labels.csv; give the folder of the NIH release")


def _find_images(root: Path) -> dict[str, Path]:
    """Find the image files by name; if two have the same name, the first counts."""
    files: dict[str, Path] = {}
    for folder in (root, root / "images", *sorted(root.glob("images_*")), *sorted(root.glob("images_*/images"))):
        if folder.is_dir():
            for file in sorted(folder.iterdir()):
                if file.suffix.lower() in _SUFFIXES:
                    files.setdefault(file.name, file)
    return files


def _report_counts(root: Path, table: CsvTable, *, n_located: int, n_files: int, report: Callable[[str], None]) -> None:
    if n_located == 0:
        raise DataError(
            f"{root}: no films found: none of the {len(table):,} films in {table.path.name} is in this folder, in "
            "images/ or in images_*/images/"
        )
    label_csv.report_counts(root, table, n_located=n_located, n_files=n_files, report=report)
    n_unlabelled = table["labels"].count("")
    if n_unlabelled:
        report(f"{table.path}: {n_unlabelled:,} rows have no labels; their findings are unknown")


def _read_official_lists(root: Path) -> dict[str, str]:
    """Read the official list of each film from the release's two lists, if they are in the folder."""
    list_of_film: dict[str, str] = {}
    for file_name, list_name in _OFFICIAL_LISTS.items():
        if (root / file_name).is_file():
            for film in (root / file_name).read_text(encoding="utf-8").split():
                if list_of_film.setdefault(film, list_name) != list_name:
                    raise DataError(f"{root / file_name}: {film} is in both official lists")
    return list_of_film
