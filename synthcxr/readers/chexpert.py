"""Read films of CheXpert in the layout of the release: train.csv and valid.csv beside the folders of films.

CheXpert labels 14 observations. Seven of them are among the 14 NIH findings; the reader reports the others and leaves
them out. Source: Irvin et al., CheXpert, AAAI 2019.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from synthcxr.data import images
from synthcxr.data.films import Film
from synthcxr.data.findings import FINDINGS, NO_FINDING, to_multi_hot
from synthcxr.errors import ConfigError, DataError
from synthcxr.readers import csv_table
from synthcxr.readers.csv_table import CsvTable

ATTRIBUTION = (
    "CheXpert, Stanford Machine Learning Group: J. Irvin, P. Rajpurkar, M. Ko et al., CheXpert: A Large Chest "
    "Radiograph Dataset with Uncertainty Labels and Expert Comparison, AAAI 2019."
)
FINDING_OF_OBSERVATION = {
    "Cardiomegaly": "Cardiomegaly",
    "Edema": "Edema",
    "Consolidation": "Consolidation",
    "Pneumonia": "Pneumonia",
    "Atelectasis": "Atelectasis",
    "Pneumothorax": "Pneumothorax",
    "Pleural Effusion": "Effusion",
}
OTHER_OBSERVATIONS = (
    *("Enlarged Cardiomediastinum", "Lung Opacity", "Lung Lesion", "Pleural Other", "Fracture", "Support Devices"),
)
_COLUMNS = {
    "image": ("Path",),
    "orientation": ("Frontal/Lateral",),
    "view": ("AP/PA",),
    "no_finding": (NO_FINDING,),
    **{name: (name,) for name in FINDING_OF_OBSERVATION},
}
_TABLE_FILES = ("train.csv", "valid.csv")
_PATIENT_PATTERN = re.compile(r"patient\d+")
_VALUE_OF_WORD = {"unknown": math.nan, "present": 1.0, "absent": 0.0}


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

    The tables are train.csv and valid.csv, or only `csv`. `uncertain_as` is the meaning of an uncertain finding (-1)
    and `blank_as` of a blank one: "unknown", "present" or "absent". A film labelled No Finding has none of the 14
    findings. `report` receives a line about observations, views and films that are left out.
    """
    root = Path(path).expanduser()
    value_of_text = {"-1": _parse_meaning("uncertain_as", uncertain_as), "": _parse_meaning("blank_as", blank_as)}
    value_of_text |= {"0": 0.0, "1": 1.0}
    films: list[Film] = []
    n_frontal = n_lateral = 0
    for table_file in _find_tables(root, csv):
        table = csv_table.read_table(table_file, required=_COLUMNS)
        csv_table.refuse_duplicates(table)
        frontal_rows = [row for row, orientation in enumerate(table["orientation"]) if orientation.lower() == "frontal"]
        n_frontal, n_lateral = n_frontal + len(frontal_rows), n_lateral + len(table) - len(frontal_rows)
        for row in frontal_rows:
            findings, file = _parse_findings(table, row, value_of_text), _find_file(root, table["image"][row])
            if file is not None:
                films.append(_build_film(table, row, findings, file, source, root))
    if not films:
        raise DataError(f"{root}: no films found: none of the {n_frontal:,} frontal films in the tables is here")
    report(f"{root}: {', '.join(OTHER_OBSERVATIONS)} are not among the 14 findings and are left out")
    unlabelled = [name for name in FINDINGS if name not in FINDING_OF_OBSERVATION.values()]
    report(f"{root}: {', '.join(unlabelled)} are not labelled by CheXpert: unknown, except in films of No Finding")
    if n_lateral:
        report(f"{root}: {n_lateral:,} lateral films are left out")
    if len(films) < n_frontal:
        report(f"{root}: {n_frontal - len(films):,} of {n_frontal:,} listed films are absent, {len(films):,} found")
    return iter(films)


def matches_layout(path: Path) -> bool:
    """Return whether the folder contains a table with CheXpert's columns."""
    try:
        csv_table.read_table(_find_tables(path, None)[0], required=_COLUMNS)
    except DataError:
        return False
    return True


def _parse_meaning(option: str, word: str) -> float:
    if word not in _VALUE_OF_WORD:
        raise ConfigError(f"{option}: {word!r} is not one of {', '.join(_VALUE_OF_WORD)}")
    return _VALUE_OF_WORD[word]


def _find_tables(root: Path, csv: str | None) -> Sequence[Path]:
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    if csv is not None:
        return [root / csv]
    tables = [root / name for name in _TABLE_FILES if (root / name).is_file()]
    if not tables:
        raise DataError(
            f"{root}: contains neither {' nor '.join(_TABLE_FILES)}; give the folder of the CheXpert release"
        )
    return tables


def _parse_findings(table: CsvTable, row: int, value_of_text: dict[str, float]) -> tuple[float, ...]:
    values = {
        finding: _parse_value(table, row, observation, value_of_text)
        for observation, finding in FINDING_OF_OBSERVATION.items()
    }
    if table["no_finding"][row] in {"1", "1.0"}:
        if present := [name for name, value in values.items() if value == 1.0]:
            raise table.row_error(row, f"both {NO_FINDING} and {present[0]} are labelled present")
        return to_multi_hot((NO_FINDING,))
    return tuple(values.get(finding, math.nan) for finding in FINDINGS)


def _parse_value(table: CsvTable, row: int, observation: str, value_of_text: dict[str, float]) -> float:
    text = table[observation][row].removesuffix(".0")
    if text not in value_of_text:
        raise table.row_error(row, f"{observation} is {text!r}; expected 1, 0, -1 or blank")
    return value_of_text[text]


def _find_file(root: Path, path: str) -> Path | None:
    """Find the file of a film below the root; the path in the table may begin with the folder of the release."""
    parts = PurePosixPath(path).parts
    if ".." in parts or PurePosixPath(path).is_absolute():
        return None
    for n_skipped in (1, 0):
        file = root.joinpath(*parts[n_skipped:])
        if file.is_file():
            return file
    return None


def _build_film(table: CsvTable, row: int, findings: tuple[float, ...], file: Path, source: str, root: Path) -> Film:
    patient = _PATIENT_PATTERN.search(table["image"][row])
    if patient is None:
        raise table.row_error(row, f"{table['image'][row]} contains no patient; expected a part like patient00001")
    return Film(
        image_index=file.relative_to(root).as_posix(),
        patient_id=f"{source}:{patient[0]}",
        source=source,
        view=csv_table.parse_view(table["view"][row]),
        findings=findings,
        read=functools.partial(images.read, file),
        read_size=functools.partial(images.read_shorter_side, file),
        origin=str(file),
    )
