"""The 14 findings of NIH ChestX-ray14, in NIH order, and conversions between names, label text and multi-hot vectors.

A multi-hot vector is a tuple of 14 floats: 1.0 present, 0.0 absent, NaN unknown. "No Finding" is all zeros.
Source: Wang et al., ChestX-ray8, CVPR 2017, and the table Data_Entry_2017_v2020.csv.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

from synthcxr.errors import DataError

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
NO_FINDING = "No Finding"
LABEL_SEPARATOR = "|"
UNKNOWN_FINDINGS = (math.nan,) * len(FINDINGS)

_NAMES_OF_NO_FINDING = {"no finding", "normal", "healthy", "none"}


class ContradictoryLabelsError(DataError):
    """The labels of one film contradict each other: "No Finding" together with a finding."""


def _normalize(name: str) -> str:
    return " ".join(name.replace("_", " ").lower().split())


_CANONICAL_NAMES = {_normalize(name): name for name in FINDINGS} | dict.fromkeys(_NAMES_OF_NO_FINDING, NO_FINDING)


def canonicalize_finding(name: str, aliases: Mapping[str, str] | None = None) -> str:
    """Return the finding, or "No Finding", that a name means, whatever its case; DataError for an unknown name.

    `aliases` map the names of a source to the names here.
    """
    normalized = _normalize(name)
    for alias, finding in (aliases or {}).items():
        if _normalize(alias) == normalized:
            normalized = _normalize(finding)
            break
    if normalized not in _CANONICAL_NAMES:
        raise DataError(f"unknown finding {name!r}; known: {', '.join((NO_FINDING, *FINDINGS))}")
    return _CANONICAL_NAMES[normalized]


def to_multi_hot(names: Iterable[str], aliases: Mapping[str, str] | None = None) -> tuple[float, ...]:
    """Return the multi-hot vector of the named findings; DataError for an unknown name or a contradiction."""
    present = {canonicalize_finding(name, aliases) for name in names}
    if NO_FINDING in present and len(present) > 1:
        raise ContradictoryLabelsError(f"contradictory labels: {', '.join(sorted(present))}")
    return tuple(float(finding in present) for finding in FINDINGS)


def parse_finding_labels(text: str, aliases: Mapping[str, str] | None = None) -> tuple[float, ...]:
    """Return the multi-hot vector of a "Finding Labels" field such as "Edema|Effusion"."""
    return to_multi_hot(text.split(LABEL_SEPARATOR), aliases)


def to_finding_names(multi_hot: Iterable[float]) -> tuple[str, ...]:
    """Return the findings that are present, or ("No Finding",) where all are known to be absent."""
    values = tuple(multi_hot)
    present = tuple(finding for finding, value in zip(FINDINGS, values, strict=True) if value == 1.0)
    if not present and not any(math.isnan(value) for value in values):
        return (NO_FINDING,)
    return present


def list_other_findings(names: Collection[str]) -> tuple[str, ...]:
    """The findings that are not among `names`, in NIH order."""
    return tuple(finding for finding in FINDINGS if finding not in names)


def describe_label_set(required: Sequence[str], excluded: Sequence[str]) -> str:
    """All required and no excluded findings, such as "Edema and Effusion without Mass"; empty without either."""
    names = " and ".join(required)
    if names and excluded and set(excluded) == set(list_other_findings(required)):
        return f"{names} and no other finding"
    without = f"without {' or '.join(excluded)}" if excluded else ""
    return " ".join(words for words in (names, without) if words)


def format_finding_labels(multi_hot: Iterable[float]) -> str:
    """Return the "Finding Labels" field of a multi-hot vector; empty where no finding is known."""
    return LABEL_SEPARATOR.join(to_finding_names(multi_hot))
