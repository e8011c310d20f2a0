"""The columns of metadata.csv that hold the condition of each image of a conditional generator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synthcxr.config.gan_sections import ConditionPart
from synthcxr.data.condition import decode_conditions
from synthcxr.data.findings import format_finding_labels

VIEW_COLUMN, SEX_COLUMN, AGE_COLUMN = "view", "sex", "age"
CONDITION_FINDINGS_COLUMN = "Condition Findings"
CONDITION_COLUMNS: dict[ConditionPart, str] = {
    "findings": CONDITION_FINDINGS_COLUMN,
    "view": VIEW_COLUMN,
    "sex": SEX_COLUMN,
    "age": AGE_COLUMN,
}
"""The column of each part, in the order of metadata.csv. A cell is empty where the condition says "unknown"."""
CELL_PATTERNS = {VIEW_COLUMN: r"(?:AP|PA)?", SEX_COLUMN: r"[FM]?", AGE_COLUMN: r"(?:[0-9]{1,3})?"}
"""By column, the regular expression of a cell."""


def describe_conditions(conditions: NDArray[np.float32], parts: Sequence[ConditionPart]) -> list[dict[str, str]]:
    """The cells of each condition [n, C]: the findings joined by |, the view, the sex and the age in years."""
    films = decode_conditions(conditions, parts)
    cells: dict[ConditionPart, list[str]] = {
        "findings": [format_finding_labels(row) for row in films.findings.tolist()],
        "view": films.views.tolist(),
        "sex": films.sexes.tolist(),
        "age": ["" if np.isnan(years) else f"{years:.0f}" for years in films.ages],
    }
    columns = {CONDITION_COLUMNS[part]: cells[part] for part in CONDITION_COLUMNS if part in parts}
    return [{column: values[row] for column, values in columns.items()} for row in range(len(conditions))]
