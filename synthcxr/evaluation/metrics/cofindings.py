"""Co-findings: how many findings the images with a finding carry, and which ones occur with it most often."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcxr.data.findings import FINDINGS

Int64 = NDArray[np.int64]
N_COMPANIONS = 3


@dataclasses.dataclass(frozen=True)
class CoFindings:
    """The `n` images with one finding: their mean number of findings, this one included, and the share with each other.

    `share_with` is in NIH order and lacks the finding itself. Without an image, `findings_per_image` is None.
    """

    n: int
    findings_per_image: float | None
    share_with: dict[str, float]

    @property
    def companions(self) -> tuple[str, ...]:
        """The most frequent other findings, at most N_COMPANIONS, of those that occur."""
        names = sorted(self.share_with, key=lambda name: -self.share_with[name])
        return tuple(name for name in names if self.share_with[name] > 0)[:N_COMPANIONS]


def count_pairs(labels: ArrayLike) -> Int64:
    """The number of images with both of two findings [14, 14] from labels [n, 14]; an unknown label is no finding."""
    present = (np.asarray(labels, dtype=np.float64) == 1).astype(np.int64)
    return np.asarray(present.T @ present)


def describe_cofindings(pair_counts: Int64, finding: str) -> CoFindings:
    """The co-findings of one finding, from the counts of `count_pairs`."""
    column = FINDINGS.index(finding)
    n, counts = int(pair_counts[column, column]), pair_counts[column]
    shares = {name: int(counts[i]) / n for i, name in enumerate(FINDINGS) if i != column} if n else {}
    return CoFindings(n, int(counts.sum()) / n if n else None, shares)
