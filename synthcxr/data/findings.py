"""The 14 findings of NIH ChestX-ray14, in NIH order, and the ways to and from their vectors.

A vector is a tuple of 14 floats: 1.0 present, 0.0 absent, NaN unknown. "No Finding" is all zeros.
Source: Wang et al., ChestX-ray8, CVPR 2017, and the Data_Entry_2017_v2020 table.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

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
SEPARATOR = "|"
UNKNOWN = (math.nan,) * len(FINDINGS)

_NORMAL = {"no finding", "normal", "healthy", "none"}


def _fold(name: str) -> str:
    return " ".join(name.replace("_", " ").lower().split())


_BY_FOLDED = {_fold(name): name for name in FINDINGS} | dict.fromkeys(_NORMAL, NO_FINDING)


def canonical(name: str, aliases: Mapping[str, str] | None = None) -> str:
    """The finding (or "No Finding") that a source's name means, in any case; `aliases` map other names first."""
    folded = _fold(name)
    for alias, target in (aliases or {}).items():
        if _fold(alias) == folded:
            folded = _fold(target)
            break
    if folded not in _BY_FOLDED:
        raise DataError(f"unknown finding {name!r}; known: {', '.join((NO_FINDING, *FINDINGS))}")
    return _BY_FOLDED[folded]


def vector(names: Iterable[str], aliases: Mapping[str, str] | None = None) -> tuple[float, ...]:
    """14 floats for the named findings; "No Finding" together with a finding is a contradiction."""
    present = {canonical(name, aliases) for name in names}
    if NO_FINDING in present and len(present) > 1:
        raise DataError(f"contradictory labels: {', '.join(sorted(present))}")
    return tuple(float(finding in present) for finding in FINDINGS)


def parse(text: str, aliases: Mapping[str, str] | None = None) -> tuple[float, ...]:
    """The vector of a "Finding Labels" field such as "Edema|Effusion"."""
    return vector(text.split(SEPARATOR), aliases)


def names(values: Iterable[float]) -> tuple[str, ...]:
    """The findings present in a vector, or ("No Finding",) when every finding is known to be absent."""
    values = tuple(values)
    present = tuple(f for f, value in zip(FINDINGS, values, strict=True) if value == 1.0)
    if not present and not any(math.isnan(value) for value in values):
        return (NO_FINDING,)
    return present


def join(values: Iterable[float]) -> str:
    """The "Finding Labels" field of a vector; empty where nothing is known."""
    return SEPARATOR.join(names(values))
