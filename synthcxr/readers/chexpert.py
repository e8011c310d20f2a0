"""Films of CheXpert in the release's layout: its train.csv and valid.csv beside the folders that they name.

CheXpert labels 14 observations of its own; seven of them are findings here, the rest are named and left out. Source:
Irvin et al., CheXpert, AAAI 2019.
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

ATTRIBUTION = (
    "CheXpert, Stanford Machine Learning Group: J. Irvin, P. Rajpurkar, M. Ko et al., CheXpert: A Large Chest "
    "Radiograph Dataset with Uncertainty Labels and Expert Comparison, AAAI 2019."
)
MAPPED = {
    "Cardiomegaly": "Cardiomegaly",
    "Edema": "Edema",
    "Consolidation": "Consolidation",
    "Pneumonia": "Pneumonia",
    "Atelectasis": "Atelectasis",
    "Pneumothorax": "Pneumothorax",
    "Pleural Effusion": "Effusion",
}
UNMAPPED = (
    *("Enlarged Cardiomediastinum", "Lung Opacity", "Lung Lesion", "Pleural Other", "Fracture", "Support Devices"),
)
_COLUMNS = {
    "image": ("Path",),
    "side": ("Frontal/Lateral",),
    "view": ("AP/PA",),
    "none": (NO_FINDING,),
    **{name: (name,) for name in MAPPED},
}
_LISTS = ("train.csv", "valid.csv")
_PATIENT = re.compile(r"patient\d+")
_MEANT = {"unknown": math.nan, "present": 1.0, "absent": 0.0}


def read(
    path: str,
    *,
    source: str = "chexpert",
    csv: str | None = None,
    uncertain_as: str = "unknown",
    blank_as: str = "unknown",
    report: Callable[[str], None] = lambda line: None,
) -> Iterator[Film]:
    """The frontal films of the folder `path` that its tables list and that are there, in the tables' order.

    The tables are train.csv and valid.csv, or the one that `csv` names. A finding that is uncertain (-1) means what
    `uncertain_as` says, one that is not mentioned (blank) what `blank_as` says: "unknown", "present" or "absent". A
    film of No Finding has none of the 14. `report` gets a line for observations, views and films that are left out.
    """
    root = Path(path).expanduser()
    meant = {"-1": _meaning("uncertain_as", uncertain_as), "": _meaning("blank_as", blank_as)}
    meant |= {"0": 0.0, "1": 1.0}
    films: list[Film] = []
    n_listed = n_lateral = 0
    for listing in _listings(root, csv):
        listed = csv_table.read(listing, required=_COLUMNS)
        csv_table.refuse_repeats(listed)
        frontal = [row for row, side in enumerate(listed["side"]) if side.lower() == "frontal"]
        n_listed, n_lateral = n_listed + len(frontal), n_lateral + len(listed) - len(frontal)
        for row in frontal:
            findings, file = _findings(listed, row, meant), _file(root, listed["image"][row])
            if file is not None:
                films.append(_film(listed, row, findings, file, source, root))
    if not films:
        raise DataError(
            f"{root}: no films found: none of the {n_listed:,} frontal ones that its tables list is below it"
        )
    report(f"{root}: {', '.join(UNMAPPED)} are none of the 14 findings and are left out")
    never = [name for name in FINDINGS if name not in MAPPED.values()]
    report(f"{root}: {', '.join(never)} are not labelled there: unknown, but for films of No Finding")
    if n_lateral:
        report(f"{root}: {n_lateral:,} lateral films are left out")
    if len(films) < n_listed:
        report(f"{root}: {n_listed - len(films):,} of {n_listed:,} listed films are absent, {len(films):,} found")
    return iter(films)


def fits(path: Path) -> bool:
    """Whether a folder holds a table with CheXpert's columns."""
    try:
        csv_table.read(_listings(path, None)[0], required=_COLUMNS)
    except DataError:
        return False
    return True


def _meaning(option: str, word: str) -> float:
    if word not in _MEANT:
        raise ConfigError(f"{option}: {word!r} is none of {', '.join(_MEANT)}")
    return _MEANT[word]


def _listings(root: Path, csv: str | None) -> Sequence[Path]:
    if not root.is_dir():
        raise DataError(f"{root}: no such folder of films")
    if csv is not None:
        return [root / csv]
    found = [root / name for name in _LISTS if (root / name).is_file()]
    if not found:
        raise DataError(f"{root}: holds neither {' nor '.join(_LISTS)}; give the folder of the CheXpert release")
    return found


def _findings(listed: csv_table.Table, row: int, meant: dict[str, float]) -> tuple[float, ...]:
    values = {MAPPED[name]: _value(listed, row, name, meant) for name in MAPPED}
    if listed["none"][row] in {"1", "1.0"}:
        if contradicting := [name for name, value in values.items() if value == 1.0]:
            raise listed.refuse(row, f"{NO_FINDING} and {contradicting[0]} at once")
        return to_multi_hot((NO_FINDING,))
    return tuple(values.get(finding, math.nan) for finding in FINDINGS)


def _value(listed: csv_table.Table, row: int, name: str, meant: dict[str, float]) -> float:
    text = listed[name][row].removesuffix(".0")
    if text not in meant:
        raise listed.refuse(row, f"{name} is {text!r}; known: 1, 0, -1 and nothing")
    return meant[text]


def _file(root: Path, path: str) -> Path | None:
    """The film's file below the root, whether or not the table's paths begin with the release's own folder."""
    parts = PurePosixPath(path).parts
    if ".." in parts or PurePosixPath(path).is_absolute():
        return None
    for begin in (1, 0):
        file = root.joinpath(*parts[begin:])
        if file.is_file():
            return file
    return None


def _film(listed: csv_table.Table, row: int, findings: tuple[float, ...], file: Path, source: str, root: Path) -> Film:
    patient = _PATIENT.search(listed["image"][row])
    if patient is None:
        raise listed.refuse(row, f"{listed['image'][row]} names no patient; a path holds patient00001 or the like")
    return Film(
        image_index=file.relative_to(root).as_posix(),
        patient_id=f"{source}:{patient[0]}",
        source=source,
        view=csv_table.view(listed["view"][row]),
        findings=findings,
        read=functools.partial(images.read, file),
        read_size=functools.partial(images.read_shorter_side, file),
        origin=str(file),
    )
