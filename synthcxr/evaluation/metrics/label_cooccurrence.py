"""Which findings come together: the share of films and of images that show both of a pair, as the judge labels them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.findings import FINDINGS
from synthcxr.evaluation.metrics.label_distribution import Bool
from synthcxr.storage import atomic

Float64 = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class CoOccurrence:
    """Shares [14, 14] of films and of images with both findings; the diagonal is the share with one.

    `difference` is the mean absolute difference over pairs of judged findings, and `correlation` that of the pairs'
    shares (None where one side has none).
    """

    real: Float64
    synthetic: Float64
    difference: float
    correlation: float | None


def compare(*, real: Bool, synthetic: Bool, judged: NDArray[np.bool_]) -> CoOccurrence:
    """Compare findings bool [n, 14] of films with those [m, 14] of images; `judged` [14] take part in the figures."""
    pair = [shares(side) for side in (real, synthetic)]
    inner = np.triu(np.outer(judged, judged), k=1)
    a, b = (side[inner] for side in pair)
    defined = len(a) > 1 and a.std() > 0 and b.std() > 0
    return CoOccurrence(
        real=pair[0],
        synthetic=pair[1],
        difference=float(np.abs(a - b).mean()) if len(a) else 0.0,
        correlation=float(np.corrcoef(a, b)[0, 1]) if defined else None,
    )


def shares(findings: Bool) -> Float64:
    """The share [14, 14] of rows bool [n, 14] in which each pair is present."""
    held = findings.astype(np.float64)
    return np.asarray(held.T @ held / len(held))


def write(path: Path, found: CoOccurrence) -> None:
    """A row a pair of findings, the first of the two named first in NIH order."""
    with atomic.file(path) as opened:
        rows = [("finding", "with", "real", "synthetic")] + [
            (FINDINGS[i], FINDINGS[j], f"{found.real[i, j]:.6g}", f"{found.synthetic[i, j]:.6g}")
            for i in range(len(FINDINGS))
            for j in range(i, len(FINDINGS))
        ]
        opened.write("".join(_line(row) for row in rows).encode("utf-8"))


def _line(cells: tuple[str, ...]) -> str:
    return ",".join(cells) + "\n"
