"""Whether readers see the findings that the classifier labels, on real films and on synthetic images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from synthcxr.data.findings import FINDINGS
from synthcxr.reader_study import intervals, scored_answers

Bool = np.ndarray[tuple[int, int], np.dtype[np.bool_]]
LEAST = 10


def agreement(single: pd.DataFrame) -> dict[str, Any]:
    """By origin and finding: of the readings of images that the classifier labels so, the share that marks it too.

    `kappa` is Cohen's over all findings of all readings at once; `mean` the mean share of the findings with LEAST
    readings or more. Intervals are over cases resampled whole, with all their readings and findings.
    """
    return {origin: _of_origin(single[single["origin"] == origin]) for origin in ("real", "synthetic")}


def _of_origin(rows: pd.DataFrame) -> dict[str, Any]:
    rows = rows[[held is not None for held in rows["classifier"]]]
    if rows.empty:
        return {"status": "not computed: the classifier has not seen these images", "n_readings": 0}
    marked, labelled = scored_answers.marks(rows, "marked"), scored_answers.marks(rows, "classifier")
    clusters = intervals.clusters_of(rows["cluster"].tolist())
    rng = np.random.default_rng(0)
    value = float(_kappa(marked, labelled, np.ones((1, len(rows))))[0])
    low, high = intervals.over_cases(lambda weights: _kappa(marked, labelled, weights), clusters, rng)
    return {
        "status": "computed",
        "n_readings": len(rows),
        "kappa": {"value": None if np.isnan(value) else value, "low": low, "high": high, "n": len(rows)},
        "findings": {name: _of_finding(marked[:, at], labelled[:, at], clusters) for at, name in enumerate(FINDINGS)},
    }


def _of_finding(marked: Any, labelled: Any, clusters: intervals.Float64) -> dict[str, Any]:
    n = int(labelled.sum())
    if n < LEAST:
        return {"n": n, "share": None, "interval": None}

    def statistic(weights: intervals.Float64) -> intervals.Float64:
        out = np.full(len(weights), np.nan)
        np.divide(weights @ (marked & labelled), weights @ labelled, out=out, where=weights @ labelled > 0)
        return out

    k = int((marked & labelled).sum())
    n_clusters = int((clusters[:, labelled].sum(axis=1) > 0).sum())
    if k in (0, n):
        exact = intervals.share(n_clusters if k else 0, n_clusters)
        low, high = exact.low, exact.high
    else:
        low, high = intervals.over_cases(statistic, clusters, np.random.default_rng(0))
    return {"n": n, "share": k / n, "interval": [low, high]}


def _kappa(marked: Bool, labelled: Bool, weights: intervals.Float64) -> intervals.Float64:
    """Cohen's kappa of two yes-or-no answers to 14 questions a reading, for weights of readings [B, n]."""
    n = weights.sum(axis=1) * len(FINDINGS)
    agreed = weights @ (marked == labelled).sum(axis=1) / n
    yes = [weights @ held.sum(axis=1) / n for held in (marked, labelled)]
    expected = yes[0] * yes[1] + (1 - yes[0]) * (1 - yes[1])
    out = np.full(len(weights), np.nan)
    np.divide(agreed - expected, 1 - expected, out=out, where=1 - expected > 1e-12)
    return out
