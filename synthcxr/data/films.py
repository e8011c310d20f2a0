"""One input film, and the manifest of the films that `prepare` packed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcxr.data.findings import FINDINGS
from synthcxr.errors import DataError
from synthcxr.storage import digests, parquet_files
from synthcxr.storage.parquet_files import ColumnType

SPLITS = ("train", "judge", "val", "test")
GAN_TRAINING_SPLITS = ("train", "judge")
HELD_OUT_SPLITS = ("val", "test")
TRAIN_SPLITS = ("train",)
TEST_SPLITS = ("test",)
MANIFEST_FILE = "manifest.parquet"
_ADVICE = "run `synthcxr prepare` again"
MANIFEST_COLUMNS = ("image_index", "patient_id", "source", "view", "split", "size", "sha256", *FINDINGS)
_UNKNOWN_ATTRIBUTES: dict[str, str | float] = {"sex": "", "age": math.nan}
"""Columns that a manifest of an earlier version lacks, and what they hold where nothing is known."""

_MANIFEST_TYPES: dict[str, ColumnType] = {
    **dict.fromkeys(MANIFEST_COLUMNS, "text"),
    "size": "integer",
    **dict.fromkeys(FINDINGS, "number"),
}
_ATTRIBUTE_TYPES: dict[str, ColumnType] = {"sex": "text", "age": "number"}


@dataclasses.dataclass(frozen=True)
class Film:
    """One input film.

    `read` returns float32 [H, W] in [0, 1], and `read_size` the shorter side in pixels without decoding the image; both
    may be called in several threads. `image_index` is unique. `patient_id` is unique across sources, and equal where
    two sources have films of one patient (NIH patient numbers are not padded). `findings` is a multi-hot vector.
    `origin` names the film in messages. `official` is the list of the source that names the film: "", "train_val" or
    "test". `sex` is "F", "M" or "", and `age` is in years, NaN if it is unknown. `file` is the file that alone decides
    what `read` returns, or None: an interrupted `prepare` does not decode a film again whose file has not changed.
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
    sex: str = ""
    age: float = math.nan
    file: Path | None = None


def read_film_manifest(folder: Path) -> pd.DataFrame:
    """Read the manifest of a packed dataset; DataError where it is absent or lacks a column."""
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise DataError(f"{folder}: no {MANIFEST_FILE}; run `synthcxr prepare` first")
    manifest = parquet_files.read_table(path, _MANIFEST_TYPES, optional=_ATTRIBUTE_TYPES, advice=_ADVICE)
    for column, unknown in _UNKNOWN_ATTRIBUTES.items():
        if column not in manifest:
            manifest[column] = unknown
    _check_manifest(path, manifest)
    return manifest


def _check_manifest(path: Path, manifest: pd.DataFrame) -> None:
    """Raise DataError for values that `prepare` does not write."""
    findings = manifest[list(FINDINGS)].to_numpy(dtype=np.float64)
    problems = {
        "contains no film": manifest.empty,
        f"has a split other than {', '.join(SPLITS)}": not manifest["split"].isin(SPLITS).all(),
        "has a finding that is not 0, 1 or unknown": not (np.isnan(findings) | np.isin(findings, (0, 1))).all(),
        "lists a film twice": manifest["image_index"].duplicated().any(),
        "has a size that is not above 0": not (manifest["size"] > 0).all(),
        "has a negative age": (manifest["age"] < 0).any(),
    }
    for problem, is_present in problems.items():
        if is_present:
            raise DataError(f"{path}: {problem}; {_ADVICE}")


def fingerprint_films(manifest: pd.DataFrame) -> str:
    """Sixteen hex digits that identify a packed dataset by its rows (pixel digests, labels, splits), in any order.

    Sex and age do not change them, so that films packed by earlier versions keep their fingerprint.
    """
    ordered = manifest.loc[:, list(MANIFEST_COLUMNS)].sort_values("image_index")
    return digests.sha256_bytes(ordered.to_csv(index=False, float_format="%g", lineterminator="\n").encode())[:16]
