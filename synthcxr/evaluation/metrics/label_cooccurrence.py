"""Co-occurrence of findings: the share of films and of images in which the judge finds both of a pair."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from synthcxr.evaluation.metrics.label_distribution import Bool

Float64 = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Cooccurrence:
    """Shares [14, 14] of films and of images with both findings; the diagonal is the share with one finding.

    Over pairs of judged findings, `difference` is the mean absolute difference between the two sides, and
    `correlation` is the correlation of their shares (None if it is undefined).
    """

    real: Float64
    synthetic: Float64
    difference: float
    correlation: float | None


def compare_cooccurrence(*, real: Bool, synthetic: Bool, judged: NDArray[np.bool_]) -> Cooccurrence:
    """Compare findings bool [n, 14] of films with those [m, 14] of images over the findings in `judged`, bool [14]."""
    real_shares, synthetic_shares = pair_shares(real), pair_shares(synthetic)
    judged_pairs = np.triu(np.outer(judged, judged), k=1)
    a, b = real_shares[judged_pairs], synthetic_shares[judged_pairs]
    defined = len(a) > 1 and a.std() > 0 and b.std() > 0
    return Cooccurrence(
        real=real_shares,
        synthetic=synthetic_shares,
        difference=float(np.abs(a - b).mean()) if len(a) else 0.0,
        correlation=float(np.corrcoef(a, b)[0, 1]) if defined else None,
    )


def pair_shares(findings: Bool) -> Float64:
    """The share [14, 14] of rows bool [n, 14] in which both findings of a pair are present."""
    flags = findings.astype(np.float64)
    return np.asarray(flags.T @ flags / len(flags))
