"""The conditions from which the candidates of a request draw: the rows of the model's table that meet the request.

A request that no film meets is built by hand: rows that meet as much of it as possible are changed to meet it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.attribute_request import AttributeRequest
from synthcxr.data.condition import FilmAttributes
from synthcxr.data.condition_table import ConditionTable
from synthcxr.data.rare_conditions import MIN_PATIENTS
from synthcxr.synthesis.request.label_condition import LabelCondition

Bool = NDArray[np.bool_]
_MAX_NAMED = 20


def select_conditions(table: ConditionTable, attributes: AttributeRequest, labels: LabelCondition) -> ConditionTable:
    """The rows whose films meet a request, with shares that sum to 1; built by hand if there is none.

    By hand: in the rows that have the attributes, the requested findings and no others are set; without such rows, the
    attributes are set in the rows that meet the label condition; without these, both are set in all rows.
    """
    has_attributes, has_findings = attributes.match(table.attributes), _match_findings(table, labels)
    if (meets := has_attributes & has_findings).any():
        return table.select(meets)
    base = next(rows for rows in (has_attributes, has_findings, np.ones_like(meets)) if rows.any())
    rows = table.select(base)
    films = attributes.apply(rows.attributes)
    findings = np.where(_match_findings(rows, labels)[:, None], films.findings, (labels.signs() > 0).astype(np.float32))
    return rows.replace_attributes(FilmAttributes(findings, films.views, films.sexes, films.ages))


def describe_unseen(
    table: ConditionTable, attributes: AttributeRequest, conditions: Sequence[LabelCondition]
) -> str | None:
    """The line that says which of the requests no training film meets; None if films meet each of them."""
    has_attributes = attributes.match(table.attributes)
    unseen = [labels for labels in conditions if not (has_attributes & _match_findings(table, labels)).any()]
    if not unseen:
        return None
    names = "; ".join(", ".join(filter(None, (str(labels), str(attributes)))) for labels in unseen[:_MAX_NAMED])
    more = f" and {len(unseen) - _MAX_NAMED} more" if len(unseen) > _MAX_NAMED else ""
    return (
        f"warning: films of fewer than {MIN_PATIENTS} patients in the training data have {names}{more}; the generator"
        " has hardly or never seen this combination"
    )


def _match_findings(table: ConditionTable, labels: LabelCondition) -> Bool:
    """Bool [K]: which rows show the requested findings and none that are excluded; all if no condition has findings."""
    if "findings" not in table.parts:
        return np.ones(len(table.shares), dtype=np.bool_)
    return labels.matches_labels(table.attributes.findings)
