"""Film (an input), Record (an output), the two manifests and their digests."""

from __future__ import annotations

import csv
import dataclasses
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcxr.data import findings as labels
from synthcxr.errors import DataError
from synthcxr.storage import digests, json_files

SPLITS = ("train", "judge", "val", "test")
FILM_COLUMNS = ("image_index", "patient_id", "source", "view", "split", "size", "sha256", *labels.FINDINGS)
PROBABILITY_COLUMNS = tuple(f"p_{finding}" for finding in labels.FINDINGS)
RECORD_COLUMNS = (
    "file_name",
    "index",
    "seed",
    "requested",
    "Finding Labels",
    *PROBABILITY_COLUMNS,
    "weight",
    "sha256",
)
TRAIN_DISTANCE = "train_distance"
STEPS = "steps"
JUDGE_COLUMNS = tuple(f"judge_{finding}" for finding in labels.FINDINGS)
OPTIONAL_COLUMNS = (TRAIN_DISTANCE, STEPS, *JUDGE_COLUMNS)
MANIFEST = "manifest.parquet"
METADATA = "metadata.csv"
RUN = "run.json"


@dataclasses.dataclass(frozen=True)
class Film:
    """One input film. `read` gives float32 [H, W] in [0, 1]; `read_size` its shorter side in pixels, cheaply.

    Both are picklable, so that films can be decoded in other processes. `patient_id` is unique across sources
    where sources share patients (NIH numbers unpadded). `official` is "", "train_val" or "test".
    """

    image_index: str
    patient_id: str
    source: str
    view: str
    findings: tuple[float, ...]
    read: Callable[[], NDArray[np.float32]]
    read_size: Callable[[], int]
    origin: str
    official: str = ""


@dataclasses.dataclass(frozen=True)
class Record:
    """One synthetic image: candidate `index` of `seed`, its labels by the classifier and its file's digest.

    `train_distance` is how far it lies from the nearest film that was learned from, `steps` how many a search took
    to it and `judged` the judge's probabilities; each stands where it was asked for.
    """

    file_name: str
    index: int
    seed: int
    requested: str
    findings: tuple[str, ...]
    probabilities: tuple[float, ...]
    weight: float
    sha256: str
    train_distance: float | None = None
    steps: int | None = None
    judged: tuple[float, ...] = ()


def to_row(record: Record) -> dict[str, Any]:
    """The record as a row of metadata.csv."""
    row: dict[str, Any] = {
        "file_name": record.file_name,
        "index": record.index,
        "seed": record.seed,
        "requested": record.requested,
        "Finding Labels": labels.SEPARATOR.join(record.findings),
    }
    row |= dict(zip(PROBABILITY_COLUMNS, record.probabilities, strict=True))
    row |= {"weight": record.weight, "sha256": record.sha256}
    for column, value in ((TRAIN_DISTANCE, record.train_distance), (STEPS, record.steps)):
        if value is not None:
            row[column] = value
    return row | (dict(zip(JUDGE_COLUMNS, record.judged, strict=True)) if record.judged else {})


def write_metadata(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write metadata.csv, a row at a time; line ends are \\n everywhere.

    Floats keep six decimals, and weights, which may be very small, seven digits.
    """
    held = iter(rows)
    first = next(held, {})
    columns = (*RECORD_COLUMNS, *(name for name in OPTIONAL_COLUMNS if name in first))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in itertools.chain([first] if first else [], held):
            values = ((row[column], "#.7g" if column == "weight" else ".6f") for column in columns)
            writer.writerow([format(value, how) if isinstance(value, float) else value for value, how in values])


def read_metadata(dataset: Path) -> pd.DataFrame:
    """The rows of a synthetic dataset's metadata.csv, with its columns checked."""
    path = dataset / METADATA
    if not path.is_file():
        raise DataError(f"{dataset}: holds no {METADATA}; is it a finished synthetic dataset?")
    frame = pd.read_csv(path, dtype={"requested": str, "Finding Labels": str, "file_name": str}, keep_default_na=False)
    missing = [column for column in RECORD_COLUMNS if column not in frame.columns]
    if missing:
        raise DataError(f"{path}: columns missing: {', '.join(missing)}")
    return frame


def read_records(dataset: Path) -> list[Record]:
    """The records of a finished dataset, from its metadata.csv."""
    return [
        Record(
            file_name=row["file_name"],
            index=int(row["index"]),
            seed=int(row["seed"]),
            requested=row["requested"],
            findings=tuple(row["Finding Labels"].split(labels.SEPARATOR)),
            probabilities=tuple(float(row[column]) for column in PROBABILITY_COLUMNS),
            weight=float(row["weight"]),
            sha256=row["sha256"],
            train_distance=float(row[TRAIN_DISTANCE]) if TRAIN_DISTANCE in row else None,
            steps=int(row[STEPS]) if STEPS in row else None,
            judged=tuple(float(row[column]) for column in JUDGE_COLUMNS) if JUDGE_COLUMNS[0] in row else (),
        )
        for row in read_metadata(dataset).to_dict(orient="records")
    ]


def read_films(data: Path) -> pd.DataFrame:
    """The film manifest of a packed dataset, with its columns checked."""
    path = data / MANIFEST
    if not path.is_file():
        raise DataError(f"{data}: holds no {MANIFEST}; run `synthcxr prepare` first")
    frame = pd.read_parquet(path)
    missing = [column for column in FILM_COLUMNS if column not in frame.columns]
    if missing:
        raise DataError(f"{path}: columns missing: {', '.join(missing)}")
    return frame


def films_fingerprint(films: pd.DataFrame) -> str:
    """What names a packed dataset: its rows in order, pixels' digests, labels and split included."""
    ordered = films.loc[:, list(FILM_COLUMNS)].sort_values("image_index")
    return digests.sha256_bytes(ordered.to_csv(index=False, float_format="%g", lineterminator="\n").encode())[:16]


def read_run(dataset: Path) -> dict[str, Any]:
    """What run.json says of a synthetic dataset; DataError where there is none."""
    if not (dataset / RUN).is_file():
        raise DataError(f"{dataset}: holds no {RUN}; is it a finished synthetic dataset?")
    held: dict[str, Any] = json_files.read_json(dataset / RUN)
    return held
