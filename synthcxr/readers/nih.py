"""Films of NIH ChestX-ray14 in the release's layout, whole or in part, or of a smaller copy with a labels.csv."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from synthcxr.data import images
from synthcxr.data.films import Film
from synthcxr.data.findings import parse_finding_labels
from synthcxr.errors import DataError
from synthcxr.readers import csv_table

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
_LISTS = {"train_val_list.txt": "train_val", "test_list.txt": "test"}
_SUFFIXES = {".png", ".jpg", ".jpeg"}


def read(
    path: str, *, source: str = "nih", csv: str | None = None, report: Callable[[str], None] = lambda line: None
) -> Iterator[Film]:
    """The films of the folder `path` that its table lists and that are there, in the table's order.

    The table is Data_Entry_2017*.csv (the last by name) or labels.csv, or the one `csv` names; a Source column, where
    present, names each film's source. `report` gets one line each for absent, unlisted and unlabelled films.
    Raises DataError where the folder, the table, its columns or every film is missing, and for an unknown finding.
    """
    root = Path(path).expanduser()
    listed = csv_table.read(_listing(root, csv), required=_COLUMNS, optional={"source": ("Source",)})
    csv_table.refuse_repeats(listed)
    findings = csv_table.findings(listed, parse_finding_labels)
    files = _files(root)
    present = [row for row, name in enumerate(listed["image"]) if name in files]
    _report_counts(root, listed, n_found=len(present), n_files=len(files), report=report)
    official = _official(root)
    return iter([_film(listed, row, findings[row], files, official, source) for row in present])


def fits(path: Path) -> bool:
    """Whether a folder holds a table with the NIH's columns."""
    try:
        csv_table.read(_listing(path, None), required=_COLUMNS)
    except DataError:
        return False
    return True


def _film(
    listed: csv_table.Table,
    row: int,
    findings: tuple[float, ...],
    files: Mapping[str, Path],
    official: Mapping[str, str],
    source: str,
) -> Film:
    name = listed["image"][row]
    if not listed["patient"][row]:
        raise listed.refuse(row, "no Patient ID")
    return Film(
        image_index=name,
        patient_id=csv_table.unpadded(listed["patient"][row]),
        source=(listed["source"][row] if "source" in listed else "") or source,
        view=csv_table.view(listed["view"][row]),
        findings=findings,
        read=functools.partial(images.read, files[name]),
        read_size=functools.partial(images.read_shorter_side, files[name]),
        origin=str(files[name]),
        official=official.get(name, ""),
    )


def _listing(root: Path, csv: str | None) -> Path:
    if not root.is_dir():
        raise DataError(f"{root}: no such folder of films")
    if csv is not None:
        return root / csv
    entries = sorted(root.glob("Data_Entry_2017*.csv"))
    if entries:
        return entries[-1]
    if (root / "labels.csv").is_file():
        return root / "labels.csv"
    raise DataError(f"{root}: holds neither Data_Entry_2017*.csv nor labels.csv; give the folder of the NIH release")


def _files(root: Path) -> dict[str, Path]:
    """Image files by name, each folder scanned once; of two with one name the first stays."""
    found: dict[str, Path] = {}
    for folder in (root, root / "images", *sorted(root.glob("images_*")), *sorted(root.glob("images_*/images"))):
        if folder.is_dir():
            for file in sorted(folder.iterdir()):
                if file.suffix.lower() in _SUFFIXES:
                    found.setdefault(file.name, file)
    return found


def _report_counts(
    root: Path, listed: csv_table.Table, *, n_found: int, n_files: int, report: Callable[[str], None]
) -> None:
    if n_found == 0:
        raise DataError(
            f"{root}: no films found: none of the {len(listed):,} that {listed.path.name} lists lies in it, in images/ "
            "or in images_*/images/"
        )
    if n_found < len(listed):
        report(f"{root}: {len(listed) - n_found:,} of {len(listed):,} listed films are absent, {n_found:,} found")
    if n_found < n_files:
        report(f"{root}: {n_files - n_found:,} image files are not listed in {listed.path.name} and are left out")
    n_unlabelled = listed["labels"].count("")
    if n_unlabelled:
        report(f"{listed.path}: {n_unlabelled:,} rows have no labels; their findings are taken as unknown")


def _official(root: Path) -> dict[str, str]:
    """The release's own split by film name, from its two lists where they lie beside the films."""
    split: dict[str, str] = {}
    for name, side in _LISTS.items():
        if (root / name).is_file():
            for film in (root / name).read_text(encoding="utf-8").split():
                if split.setdefault(film, side) != side:
                    raise DataError(f"{root / name}: {film} stands in both official lists")
    return split
