"""What every image of a request shows and does not show."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import findings as labels
from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.errors import DataError

Bool = NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Wanted:
    """All of `findings` and none of `without`; ("No Finding",) is none at all, and nothing asked for is all there is.

    Names are canonical and in NIH order, as `of` makes them.
    """

    findings: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    @classmethod
    def of(cls, findings: Sequence[str], without: Sequence[str] = ()) -> Wanted:
        """From names as they are typed; DataError for an unknown finding or a contradiction."""
        asked, barred = _canonical(findings), _canonical(without)
        if NO_FINDING in barred:
            raise DataError(f"{NO_FINDING!r} cannot be left out; ask for findings instead")
        both = [name for name in asked if name in barred]
        if both:
            raise DataError(f"{', '.join(both)}: asked for and left out at once")
        return cls(asked, () if asked == (NO_FINDING,) else barred)

    @classmethod
    def exactly(cls, findings: Sequence[str]) -> Wanted:
        """These findings and no other."""
        asked = _canonical(findings) or (NO_FINDING,)
        return cls(asked, () if asked == (NO_FINDING,) else tuple(name for name in FINDINGS if name not in asked))

    @property
    def anything(self) -> bool:
        """Nothing was asked for."""
        return not self.findings and not self.without

    def signs(self) -> NDArray[np.int64]:
        """Int [14]: 1 where a finding must show, -1 where it must not, 0 where it may."""
        if NO_FINDING in self.findings:
            return np.full(len(FINDINGS), -1)
        return np.array([(name in self.findings) - (name in self.without) for name in FINDINGS])

    def met(self, present: Bool) -> Bool:
        """Bool [n]: which rows of bool [n, 14] are what is wanted."""
        signs = self.signs()
        return np.asarray(present[:, signs > 0].all(axis=1) & ~present[:, signs < 0].any(axis=1))

    def __str__(self) -> str:
        shown = " and ".join(self.findings)
        barred = "without " + " or ".join(self.without) if self.without else ""
        return " ".join(part for part in (shown, barred) if part)


def _canonical(names: Sequence[str]) -> tuple[str, ...]:
    return labels.names(labels.vector(names)) if names else ()
