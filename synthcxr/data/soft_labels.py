"""Probabilities of findings that another classifier predicted for the training films, blended with their labels.

Distillation (Hinton, Vinyals and Dean, arXiv 1503.02531) in its plainest form: a label that text mining took from a
report is often wrong, and the mean of it and a probability says how far to trust it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.findings import FINDINGS
from synthcxr.data.images import Float32
from synthcxr.errors import DataError
from synthcxr.storage import csv_files
from synthcxr.storage.progress import print_line

KEY_COLUMN = "Image Index"
_PREFIX = "prob_"
_SMALLEST = 1e-6
"""A probability of 0 or 1 has no finite logit."""
_LARGEST_SHIFT, _N_HALVINGS = 20.0, 60

Float64 = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class SoftLabels:
    """Probabilities float64 [n, 14] by image index; NaN where the table has none."""

    path: Path
    image_indices: tuple[str, ...]
    probabilities: Float64

    def blend(self, findings: Float32, image_indices: Sequence[str]) -> Float32:
        """Return `findings` [N, 14] with the mean of label and probability where a film has both.

        The probabilities of each finding are shifted, on the scale of logits, until their mean is the share of the
        finding among these films (with one positive and one negative film added), because the other classifier may
        have learnt from films with other shares.
        Raises DataError if no film is in the table.
        """
        positions = {index: position for position, index in enumerate(self.image_indices)}
        rows = [row for row, index in enumerate(image_indices) if index in positions]
        if not rows:
            raise DataError(
                f"{self.path}: none of the {len(image_indices):,} training films is in the column {KEY_COLUMN}"
            )
        print_line(f"{self.path}: soft labels for {len(rows):,} of {len(image_indices):,} training films")
        blended = np.array(findings, dtype=np.float32)
        taught = self.probabilities[[positions[image_indices[row]] for row in rows]]
        for finding in range(len(FINDINGS)):
            labels = findings[rows, finding].astype(np.float64)
            has_both = np.isfinite(labels) & np.isfinite(taught[:, finding])
            if has_both.any():
                labels = labels[has_both]
                prevalence = (labels.sum() + 1) / (len(labels) + 2)
                shifted = _shift_to_prevalence(taught[has_both, finding], prevalence)
                blended[np.array(rows)[has_both], finding] = (labels + shifted) / 2
        return blended


def read_soft_labels(path: Path) -> SoftLabels:
    """Read a CSV table, or one compressed with gzip: a column Image Index, and one per finding.

    The column of a finding has its name after `prob_`; if no column begins so, its name alone. Findings without a
    column have no probabilities.
    Raises DataError where a value is not a probability, a film is listed twice, or no finding has a column.
    """
    rows = csv_files.read_rows(path, (KEY_COLUMN,))
    header = rows[0].keys() if rows else ()
    prefix = _PREFIX if any(column.startswith(_PREFIX) for column in header) else ""
    columns = {number: prefix + finding for number, finding in enumerate(FINDINGS) if prefix + finding in header}
    if not columns:
        raise DataError(
            f"{path}: has no rows, or no column of a finding, such as {_PREFIX + FINDINGS[1]} or {FINDINGS[1]}"
        )
    image_indices = tuple(row[KEY_COLUMN] for row in rows)
    if len(set(image_indices)) < len(image_indices):
        raise DataError(f"{path}: lists a film twice in the column {KEY_COLUMN}")
    probabilities = np.full((len(rows), len(FINDINGS)), np.nan)
    for number, column in columns.items():
        probabilities[:, number] = [_parse_probability(row[column], path, column) for row in rows]
    return SoftLabels(path, image_indices, probabilities)


def _parse_probability(text: str, path: Path, column: str) -> float:
    if not text.strip():
        return np.nan
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not 0 <= value <= 1:
        raise DataError(f"{path}: column {column}: {text!r} is not a probability between 0 and 1")
    return value


def _shift_to_prevalence(probabilities: Float64, prevalence: float) -> Float64:
    """Add one number to all logits, so that the mean of the probabilities is `prevalence`; found by halving."""
    clipped = probabilities.clip(_SMALLEST, 1 - _SMALLEST)
    logits = np.log(clipped / (1 - clipped))
    low, high = -_LARGEST_SHIFT, _LARGEST_SHIFT
    for _ in range(_N_HALVINGS):
        middle = (low + high) / 2
        if (1 / (1 + np.exp(-(logits + middle)))).mean() < prevalence:
            low = middle
        else:
            high = middle
    shifted: Float64 = 1 / (1 + np.exp(-(logits + high)))
    return shifted
