"""The condition of a generator: what is known of a film as a row of numbers, and back.

`train_gan.condition` lists its parts. A row has these columns, in this order, whatever the order of the list:

- findings: 14 columns, 1 for a finding that is present; then 14 columns, 1 for a finding that is unknown;
- view: AP, PA, unknown; sex: F, M, unknown (one of each three is 1, the others are 0);
- age: (years - 50) / 25, with years rounded to the nearest 5 and at most 90; then 1 where the age is unknown.

All other values are 0. Ages are rounded, and from 90 on are one group, so that fewer rows belong to a single patient.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from synthcxr.config.gan_sections import ConditionPart
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ArtifactError

Float32 = NDArray[np.float32]

PARTS: tuple[ConditionPart, ...] = get_args(ConditionPart)
VIEWS, SEXES = ("AP", "PA"), ("F", "M")
AGE_STEP, MAX_AGE = 5, 90
"""Years."""
_AGE_CENTRE, _AGE_SCALE = 50, 25
_UNKNOWN = "unknown"

_COLUMNS: dict[ConditionPart, tuple[str, ...]] = {
    "findings": (*FINDINGS, *(f"{finding} {_UNKNOWN}" for finding in FINDINGS)),
    "view": tuple(f"view {code}" for code in (*VIEWS, _UNKNOWN)),
    "sex": tuple(f"sex {code}" for code in (*SEXES, _UNKNOWN)),
    "age": (f"age (years - {_AGE_CENTRE}) / {_AGE_SCALE}", f"age {_UNKNOWN}"),
}


@dataclasses.dataclass(frozen=True)
class FilmAttributes:
    """What is known of n films: findings [n, 14] (NaN unknown), views and sexes [n] ("" unknown), ages [n] in years."""

    findings: Float32
    views: NDArray[np.str_]
    sexes: NDArray[np.str_]
    ages: Float32

    def __len__(self) -> int:
        return len(self.findings)

    @property
    def are_labelled(self) -> NDArray[np.bool_]:
        """Bool [n]: whether any finding of each film is known."""
        return np.asarray(~np.isnan(self.findings).all(axis=1))

    def select(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> FilmAttributes:
        """Only the films of these rows."""
        return FilmAttributes(self.findings[rows], self.views[rows], self.sexes[rows], self.ages[rows])


def list_columns(parts: Sequence[ConditionPart]) -> tuple[str, ...]:
    """Return the names of the C columns of a condition, with the unit of the age; () for no parts."""
    return tuple(name for part in PARTS if part in parts for name in _COLUMNS[part])


def find_parts(columns: Sequence[str], where: str) -> tuple[ConditionPart, ...]:
    """Return the parts whose columns these are; ArtifactError, beginning with `where`, for other columns."""
    parts = tuple(part for part in PARTS if set(_COLUMNS[part]) & set(columns))
    if list_columns(parts) != tuple(columns):
        raise ArtifactError(
            f"{where}: its condition has other columns than this version of synthcxr writes; export or pull it again"
        )
    return parts


def encode_conditions(attributes: FilmAttributes, parts: Sequence[ConditionPart]) -> Float32:
    """Return the conditions of n films, float32 [n, C]."""
    unknown = np.isnan(attributes.findings)
    encoded = {
        "findings": np.concatenate([attributes.findings == 1, unknown], axis=1),
        "view": _encode_codes(attributes.views, VIEWS),
        "sex": _encode_codes(attributes.sexes, SEXES),
        "age": _encode_ages(attributes.ages),
    }
    blocks = [np.empty((len(attributes), 0)), *(encoded[part] for part in PARTS if part in parts)]
    return np.concatenate(blocks, axis=1).astype(np.float32)


def decode_conditions(conditions: Float32, parts: Sequence[ConditionPart]) -> FilmAttributes:
    """Return the attributes of conditions [n, C]; what is not among the `parts` is unknown."""
    n, start = len(conditions), 0
    findings = np.full((n, len(FINDINGS)), np.nan, np.float32)
    views = sexes = np.full(n, "")
    ages = np.full(n, np.nan, np.float32)
    for part in PARTS:
        if part not in parts:
            continue
        block = conditions[:, start : start + len(_COLUMNS[part])]
        start += block.shape[1]
        if part == "findings":
            findings = np.where(block[:, len(FINDINGS) :] == 1, np.nan, block[:, : len(FINDINGS)]).astype(np.float32)
        elif part == "view":
            views = _decode_codes(block, VIEWS)
        elif part == "sex":
            sexes = _decode_codes(block, SEXES)
        else:
            years = np.round(block[:, 0] * _AGE_SCALE + _AGE_CENTRE)
            ages = np.where(block[:, 1] == 1, np.nan, years).astype(np.float32)
    return FilmAttributes(findings, views, sexes, ages)


def round_ages(years: NDArray[np.floating]) -> Float32:
    """Round ages in years as a condition has them; NaN stays NaN."""
    return np.clip(np.round(years / AGE_STEP) * AGE_STEP, 0, MAX_AGE).astype(np.float32)


def _encode_codes(codes: NDArray[np.str_], known: tuple[str, ...]) -> NDArray[np.bool_]:
    columns = [codes == code for code in known]
    return np.stack([*columns, ~np.any(columns, axis=0)], axis=1)


def _decode_codes(block: Float32, known: tuple[str, ...]) -> NDArray[np.str_]:
    return np.asarray(np.array([*known, ""])[block.argmax(axis=1)])


def _encode_ages(years: Float32) -> NDArray[np.float64]:
    unknown = np.isnan(years)
    return np.stack([np.where(unknown, 0, (round_ages(years) - _AGE_CENTRE) / _AGE_SCALE), unknown], axis=1)
