"""How often readers are right: of each reader exactly, and of readers and cases like these."""

from __future__ import annotations

import numpy as np

from synthcxr.reader_study import intervals
from synthcxr.reader_study.intervals import Estimate, Float64


def of_reader(right: Float64) -> Estimate:
    """One reader's share of right answers [C] among those that took a side; NaN took none."""
    sided = right[~np.isnan(right)]
    return intervals.share(int(sided.sum()), len(sided))


def pooled(right: Float64, names: list[str], rng: np.random.Generator) -> Estimate | None:
    """The share of right answers [R, C] among those that took a side, with its interval over readers and cases.

    None for one reader. Where all or none were right, the exact interval of as many readings as there are cases.
    """
    sided = ~np.isnan(right)
    if len(right) < 2 or not sided.any():
        return None
    held = np.nan_to_num(right)

    def mean(readers: Float64, cases: Float64) -> Float64:
        above, below = (((cases @ part.T) * readers).sum(axis=1) for part in (held, sided.astype(np.float64)))
        out = np.full(len(above), np.nan)
        np.divide(above, below, out=out, where=below > 0)
        return out

    n = int(sided.sum())
    clusters = intervals.clusters_of(names)
    found = intervals.pooled(mean, n_readers=len(right), clusters=clusters, n=n, rng=rng)
    if found is not None:
        return found
    value = held.sum() / n
    exact = intervals.share(round(value * len(clusters)), len(clusters))
    return Estimate(value, exact.low, exact.high, n)
