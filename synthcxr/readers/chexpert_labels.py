"""Read the labels of the CheXpert labeller, as in CheXpert and MIMIC-CXR-JPG: 1, 0, -1 (uncertain) or blank.

The labeller gives 14 observations. Seven of them are among the 14 NIH findings; the others are reported and left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.errors import ConfigError, DataError
from synthcxr.readers import label_csv
from synthcxr.readers.csv_table import CsvTable

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
COLUMNS = {name: (name,) for name in (*FINDING_OF_OBSERVATION, NO_FINDING)}
_VALUE_OF_WORD = {"unknown": math.nan, "present": 1.0, "absent": 0.0}


def build_values(*, uncertain_as: str, blank_as: str) -> dict[str, float]:
    """Return the value of each text; ConfigError, which begins with the option, for an unknown word."""
    for option, word in (("uncertain_as", uncertain_as), ("blank_as", blank_as)):
        if word not in _VALUE_OF_WORD:
            raise ConfigError(f"{option}: {word!r} is not one of {', '.join(_VALUE_OF_WORD)}")
    return {"-1": _VALUE_OF_WORD[uncertain_as], "": _VALUE_OF_WORD[blank_as], "0": 0.0, "1": 1.0}


def has_labels(table: CsvTable) -> bool:
    """Return whether a table has the column of an observation."""
    return any(name in table for name in COLUMNS)


def read_findings(table: CsvTable, row: int, value_of_text: dict[str, float]) -> tuple[float, ...]:
    """Read the findings of a row; observations without a column are unknown.

    Raises ContradictoryLabelsError for No Finding together with a finding, and DataError for another value
    than 1, 0, -1 or blank.
    """
    values = {
        finding: _read_value(table, row, observation, value_of_text)
        for observation, finding in FINDING_OF_OBSERVATION.items()
        if observation in table
    }
    if NO_FINDING in table:
        values[NO_FINDING] = float(table[NO_FINDING][row] in {"1", "1.0"})
    return label_csv.combine_finding_values(values)


def _read_value(table: CsvTable, row: int, observation: str, value_of_text: dict[str, float]) -> float:
    text = table[observation][row].removesuffix(".0")
    if text not in value_of_text:
        raise DataError(f"{observation} is {text!r}; expected 1, 0, -1 or blank")
    return value_of_text[text]


def report_observations(root: object, table: CsvTable | None, report: Callable[[str], None]) -> None:
    """Report the observations that are left out and the findings that are unknown; `table` is None without labels."""
    if table is None or not has_labels(table):
        report(f"{root}: the tables have no labels: all findings are unknown")
        return
    report(f"{root}: {', '.join(OTHER_OBSERVATIONS)} are not among the 14 findings and are left out")
    labelled = {finding for observation, finding in FINDING_OF_OBSERVATION.items() if observation in table}
    unlabelled = [name for name in FINDINGS if name not in labelled]
    report(f"{root}: {', '.join(unlabelled)} are not labelled by CheXpert: unknown, except in films of No Finding")
