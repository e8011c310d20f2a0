"""The findings that every image of a request must show, and those that it must not show."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.findings import (
    FINDINGS,
    NO_FINDING,
    describe_label_set,
    list_other_findings,
    to_finding_names,
    to_multi_hot,
)
from synthcxr.errors import DataError

Bool = NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class LabelCondition:
    """All of `findings` and none of `without`. ("No Finding",) means no finding at all; an empty condition, any image.

    Names are canonical and in NIH order; `from_names` ensures this.
    """

    findings: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    @classmethod
    def from_names(cls, required: Sequence[str], excluded: Sequence[str] = ()) -> LabelCondition:
        """Build a condition from names as a user types them; DataError for an unknown or a contradictory finding."""
        names, excluded_names = _canonicalise(required), _canonicalise(excluded)
        if NO_FINDING in excluded_names:
            raise DataError(f"{NO_FINDING!r} cannot be excluded; request one or more findings instead")
        contradictory = [name for name in names if name in excluded_names]
        if contradictory:
            raise DataError(f"{', '.join(contradictory)}: both requested and excluded; remove one of the two")
        return cls(names, () if names == (NO_FINDING,) else excluded_names)

    @classmethod
    def from_exact_set(cls, required: Sequence[str]) -> LabelCondition:
        """Build the condition for these findings and no other."""
        names = _canonicalise(required) or (NO_FINDING,)
        return cls(names, () if names == (NO_FINDING,) else list_other_findings(names))

    @property
    def is_unconditional(self) -> bool:
        """Whether every image meets the condition."""
        return not self.findings and not self.without

    def signs(self) -> NDArray[np.int64]:
        """Int [14]: 1 for a required finding, -1 for an excluded one, 0 for any other."""
        if NO_FINDING in self.findings:
            return np.full(len(FINDINGS), -1)
        return np.array([(name in self.findings) - (name in self.without) for name in FINDINGS])

    def matches(self, present: Bool) -> Bool:
        """Bool [n]: which rows of `present`, bool [n, 14], meet the condition."""
        signs = self.signs()
        return np.asarray(present[:, signs > 0].all(axis=1) & ~present[:, signs < 0].any(axis=1))

    def matches_labels(self, findings: NDArray[np.float32]) -> Bool:
        """Bool [n]: which rows of labels [n, 14] (NaN: unknown) certainly meet the condition."""
        signs = self.signs()
        return np.asarray((findings[:, signs > 0] == 1).all(axis=1) & (findings[:, signs < 0] == 0).all(axis=1))

    def __str__(self) -> str:
        return describe_label_set(self.findings, self.without)


def _canonicalise(names: Sequence[str]) -> tuple[str, ...]:
    return to_finding_names(to_multi_hot(names)) if names else ()
