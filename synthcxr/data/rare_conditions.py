"""Make the conditions of few patients less specific, because the table of conditions is shipped with the model.

A row of fewer than MIN_PATIENTS patients could show that a certain patient was among the training films.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.condition import FilmAttributes, encode_conditions
from synthcxr.data.condition_table import ConditionTable

Bool = NDArray[np.bool_]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

MIN_PATIENTS = 5
"""The fewest patients of a row; a usual minimum for cells of published tables."""


def merge_rare_conditions(table: ConditionTable, films: FilmAttributes, patients: Sequence[str]) -> ConditionTable:
    """Return the table with at least MIN_PATIENTS patients in each row; `patients` [n] are those of the n films.

    Attributes of rarer rows become unknown, one after the other, until enough patients have the same condition: the
    age, the sex, the findings that are present from the rarest one on, the other findings, the view. Rows that are
    still too rare are left out. If no row is left, the table has one row, with everything unknown.
    """
    rows, patient_numbers = _match_rows(table, films, patients)
    attributes = table.attributes
    is_rare = _find_rare_rows(table, attributes, rows, patient_numbers)
    if not is_rare.any():
        return table
    for remove in _list_removals(_count_patients_by_finding(films.findings, patients)):
        attributes = _replace_rows(attributes, is_rare, remove(attributes))
        is_rare = _find_rare_rows(table, attributes, rows, patient_numbers)
    if is_rare.all():
        return table.replace_attributes(attributes)
    return table.select(~is_rare).replace_attributes(attributes.select(~is_rare))


def _list_removals(n_by_finding: Int64) -> Iterator[Callable[[FilmAttributes], FilmAttributes]]:
    """The functions that make one attribute of films unknown, in the order in which rare rows lose them."""

    def remove_present(films: FilmAttributes, finding: int) -> FilmAttributes:
        is_present = (films.findings == 1) & (np.arange(films.findings.shape[1]) == finding)
        return dataclasses.replace(films, findings=np.where(is_present, np.float32(np.nan), films.findings))

    yield lambda films: dataclasses.replace(films, ages=np.full_like(films.ages, np.nan))
    yield lambda films: dataclasses.replace(films, sexes=np.full_like(films.sexes, ""))
    for finding in np.argsort(n_by_finding, kind="stable").tolist():
        yield functools.partial(remove_present, finding=finding)
    yield lambda films: dataclasses.replace(films, findings=np.full_like(films.findings, np.nan))
    yield lambda films: dataclasses.replace(films, views=np.full_like(films.views, ""))


def _replace_rows(attributes: FilmAttributes, rows: Bool, vaguer: FilmAttributes) -> FilmAttributes:
    """The attributes, with those of `rows` (bool [K]) from `vaguer`."""
    return FilmAttributes(
        findings=np.where(rows[:, None], vaguer.findings, attributes.findings),
        views=np.where(rows, vaguer.views, attributes.views),
        sexes=np.where(rows, vaguer.sexes, attributes.sexes),
        ages=np.where(rows, vaguer.ages, attributes.ages),
    )


def _match_rows(table: ConditionTable, films: FilmAttributes, patients: Sequence[str]) -> tuple[Int64, Int64]:
    """Each pair of a row of the table and the number of a patient with a film that has the row's condition."""
    position = {row.tobytes(): index for index, row in enumerate(table.conditions)}
    numbers = np.unique(np.asarray(patients, dtype=str), return_inverse=True)[1].reshape(-1)
    film_rows = [position.get(row.tobytes(), -1) for row in encode_conditions(films, table.parts)]
    pairs = np.unique(np.stack([np.array(film_rows, np.int64), numbers]), axis=1)
    pairs = pairs[:, pairs[0] >= 0]
    return pairs[0], pairs[1]


def _count_patients_by_finding(findings: Float32, patients: Sequence[str]) -> Int64:
    names = np.asarray(patients, dtype=str)
    return np.array([len(np.unique(names[column == 1])) for column in findings.T], np.int64)


def _find_rare_rows(table: ConditionTable, attributes: FilmAttributes, rows: Int64, patient_numbers: Int64) -> Bool:
    """Bool [K]: whether fewer than MIN_PATIENTS patients have the condition that the attributes of each row give."""
    conditions = encode_conditions(attributes, table.parts)
    groups = np.unique(conditions, axis=0, return_inverse=True)[1].reshape(-1)
    pairs = np.unique(np.stack([groups[rows], patient_numbers]), axis=1)
    n_patients = np.bincount(pairs[0], minlength=int(groups.max()) + 1)
    return np.asarray(n_patients[groups] < MIN_PATIENTS)
