"""Read films of MIMIC-CXR-JPG: its metadata table, its label table, and the folders files/p10/p10000032/s50414267/.

Source: Johnson et al., MIMIC-CXR-JPG, a large publicly available database of labeled chest radiographs, 2019.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from synthcxr.data import images, left_out
from synthcxr.data.films import Film
from synthcxr.data.findings import UNKNOWN_FINDINGS
from synthcxr.data.left_out import Reason
from synthcxr.data.number_format import format_quantity
from synthcxr.errors import DataError
from synthcxr.readers import chexpert_labels, csv_table, film_files, label_csv
from synthcxr.readers.csv_table import CsvTable
from synthcxr.readers.label_csv import LabelledFilm
from synthcxr.readers.reader import Reader, describe_options

_ATTRIBUTION = (
    "MIMIC-CXR-JPG: A. E. W. Johnson, T. J. Pollard, N. R. Greenbaum et al., MIMIC-CXR-JPG, a large publicly available "
    "database of labeled chest radiographs, arXiv 1901.07042, PhysioNet. Its data use agreement forbids sharing films."
)
_METADATA_COLUMNS = {"image": ("dicom_id",), "patient": ("subject_id",), "study": ("study_id",)}
_VIEW_COLUMNS = {
    "view": ("ViewPosition",),
    "view code": ("ViewCodeSequence_CodeMeaning",),
}
_LABEL_TABLES = ("chexpert", "negbio")


def read_films(
    path: str,
    *,
    source: str = "mimic",
    csv: str | None = None,
    uncertain_as: str = "unknown",
    blank_as: str = "unknown",
    report: Callable[[str], None] = lambda line: None,
) -> Iterator[Film]:
    """Read the frontal films in the folder `path` that mimic-cxr-*-metadata.csv lists, in its order.

    The labels of a study are in mimic-cxr-*-chexpert.csv, else *-negbio.csv, or in `csv`; all tables may be compressed
    (.gz). `uncertain_as` and `blank_as` are as in the CheXpert reader. Studies without labels have unknown findings.
    Films whose view is not PA or AP are left out; `report` receives a line about them. A film with contradictory labels
    cannot be read, which `prepare.on_bad` handles.
    """
    root = film_files.find_folder(path)
    value_of_text = chexpert_labels.build_values(uncertain_as=uncertain_as, blank_as=blank_as)
    table = _read_metadata(root)
    labels_of_study = _read_labels(root, csv, value_of_text, report)
    views = [_find_view(table, row) for row in range(len(table))]
    rows = [row for row, view in enumerate(views) if view]
    if len(rows) < len(table):
        n_other = len(table) - len(rows)
        line = f"{root}: left out {format_quantity(n_other, 'film')}, lateral or of an unknown view"
        left_out.report_left_out(report, line, Reason.NOT_FRONTAL, n_other, table["image"][views.index("")])
    files = film_files.find_images(root, report)
    all_files = film_files.locate_films(root, files, table, range(len(table)), report=report)
    file_of_row = {row: all_files[row] for row in rows if row in all_files}
    listed = set(all_files.values())
    film_files.report_counts(root, table, rows, file_of_row, files=files, listed=listed, report=report)
    films = []
    for row, file in file_of_row.items():
        labelled = labels_of_study.get(table["study"][row], LabelledFilm(row, UNKNOWN_FINDINGS))
        unreadable = functools.partial(label_csv.refuse_contradiction, labelled.error) if labelled.error else None
        films.append(
            Film(
                image_index=file.relative_to(root).as_posix(),
                patient_id=f"{source}:{table['patient'][row]}",
                source=source,
                view=views[row],
                findings=labelled.findings,
                read=unreadable or functools.partial(images.read, file),
                read_size=unreadable or functools.partial(images.read_shorter_side, file),
                origin=str(file),
                file=file,
            )
        )
    n_unlabelled = sum(table["study"][row] not in labels_of_study for row in file_of_row)
    if n_unlabelled:
        report(f"{root}: the studies of {format_quantity(n_unlabelled, 'film')} have no labels: findings unknown")
    return iter(films)


def matches_layout(path: Path) -> bool:
    """Return whether the folder contains the metadata table of the release."""
    return _find_table(path, "metadata") is not None


def _find_table(root: Path, kind: str) -> Path | None:
    names = sorted(file for suffix in ("csv", "csv.gz") for file in root.glob(f"mimic-cxr-*-{kind}.{suffix}"))
    return names[-1] if names else None


def _read_metadata(root: Path) -> CsvTable:
    """Read the metadata with the path of each film below the root in the column image."""
    file = _find_table(root, "metadata")
    if file is None:
        raise DataError(
            f"{root}: contains no mimic-cxr-*-metadata.csv or .csv.gz; give the folder of the MIMIC-CXR-JPG release"
        )
    table = csv_table.read_table(file, required=_METADATA_COLUMNS, optional=_VIEW_COLUMNS)
    csv_table.refuse_nameless_rows(table)
    paths = [
        f"files/p{patient[:2]}/p{patient}/s{study}/{name}.jpg"
        for name, patient, study in zip(table["image"], table["patient"], table["study"], strict=True)
    ]
    return dataclasses.replace(table, columns={**table.columns, "image": paths})


def _read_labels(
    root: Path, csv: str | None, value_of_text: dict[str, float], report: Callable[[str], None]
) -> dict[str, LabelledFilm]:
    """Read the findings of each study; none without a label table."""
    tables = [_find_table(root, kind) for kind in _LABEL_TABLES]
    file = root / csv if csv is not None else next((table for table in tables if table is not None), None)
    if file is None:
        chexpert_labels.report_observations(root, None, report)
        return {}
    required = {"image": ("study_id",)}
    table = csv_table.read_table(file, required=required, optional=chexpert_labels.COLUMNS)
    read_row = functools.partial(chexpert_labels.read_findings, table, value_of_text=value_of_text)
    rows = [label_csv.read_row_findings(table, row, read_row) for row in range(len(table))]
    chexpert_labels.report_observations(root, table, report)
    return {table["image"][study.row]: study for study in label_csv.merge_rows(table, rows, report)}


def _find_view(table: CsvTable, row: int) -> str:
    """Find the view PA or AP of a film; "" for a lateral or unknown one."""
    view = table["view"][row] if "view" in table else ""
    if not view and "view code" in table:
        view = table["view code"][row]
    return csv_table.parse_view(view)


READER = Reader(
    name="mimic",
    films="MIMIC-CXR-JPG: `mimic-cxr-*-metadata.csv.gz`, `-chexpert.csv.gz` or `-negbio.csv.gz`, and `files/`",
    read=read_films,
    options=describe_options("path", "source", "csv", "uncertain_as", "blank_as"),
    matches=matches_layout,
    attribution=_ATTRIBUTION,
)
