"""Agreement beyond chance: between two readers, among all readers, and of readers with the classifier."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from synthcxr.data.findings import FINDINGS
from synthcxr.reader_study import intervals, scored_answers
from synthcxr.reader_study.intervals import Float64, StudyEstimate

MIN_READINGS_PER_FINDING = 10


def cohen_kappa(first: ArrayLike, second: ArrayLike, *, k: int, quadratic: bool = False) -> StudyEstimate:
    """Cohen's kappa of two lists of ratings 0 .. k - 1 of the same cases, with its interval over cases.

    The value is None if all ratings are equal. Source: Cohen, Educ. Psychol. Meas. 20 (1960), and Psychol. Bull. 70
    (1968) for quadratic weights.
    """
    first_ratings, second_ratings = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    n = len(first_ratings)
    steps = np.arange(k)[:, None] - np.arange(k)[None]
    cost = (steps**2 if quadratic else steps != 0).astype(np.float64)
    cell_of_case = np.eye(k * k)[first_ratings * k + second_ratings] if n else np.zeros((0, k * k))  # [n, k * k]

    def kappa(weights: Float64) -> Float64:
        table = (weights @ cell_of_case).reshape(-1, k, k)
        total = table.sum(axis=(1, 2))
        expected = table.sum(axis=2)[:, :, None] * table.sum(axis=1)[:, None, :]
        return _one_minus_ratio(total * (table * cost).sum(axis=(1, 2)), (expected * cost).sum(axis=(1, 2)))

    return _estimate_over_cases(kappa, n)


def fleiss_kappa(ratings: NDArray[np.int64], *, k: int) -> StudyEstimate:
    """Fleiss' kappa of ratings 0 .. k - 1 [R, C], where every reader rated every case, with its interval over cases.

    Source: Fleiss, Psychol. Bull. 76 (1971).
    """
    n_readers, n = ratings.shape
    counts = np.stack([(ratings == level).sum(axis=0) for level in range(k)], axis=1).astype(np.float64)  # [C, k]
    observed = ((counts**2).sum(axis=1) - n_readers) / max(n_readers * (n_readers - 1), 1)

    def kappa(weights: Float64) -> Float64:
        total = weights.sum(axis=1)
        shares = weights @ counts / (n_readers * total)[:, None]
        return _one_minus_ratio(1 - weights @ observed / total, 1 - (shares**2).sum(axis=1))

    return _estimate_over_cases(kappa, n if n_readers > 1 else 0)


def compare_with_classifier(single: pd.DataFrame) -> dict[str, Any]:
    """Compare the findings that readers mark with those of the classifier, by origin and finding.

    `kappa` is Cohen's kappa over all findings and readings together. `findings` contains, for each finding, the share
    of the readings of images with this finding in which the reader marks it too; it is None with fewer than
    MIN_READINGS_PER_FINDING readings. For the intervals, cases are resampled together with all their readings.
    """
    return {origin: _compare_origin(single[single["origin"] == origin]) for origin in ("real", "synthetic")}


def _compare_origin(rows: pd.DataFrame) -> dict[str, Any]:
    rows = rows[[findings is not None for findings in rows["classifier"]]]
    if rows.empty:
        return {"status": "not computed: the classifier did not label these images", "n_readings": 0}
    marked = scored_answers.to_finding_matrix(rows, "marked")
    labelled = scored_answers.to_finding_matrix(rows, "classifier")
    clusters = intervals.build_clusters(rows["cluster"].tolist())
    rng = np.random.default_rng(0)
    value = float(_multi_finding_kappa(marked, labelled, np.ones((1, len(rows))))[0])
    low, high = intervals.bootstrap_over_cases(
        lambda weights: _multi_finding_kappa(marked, labelled, weights), clusters, rng
    )
    return {
        "status": "computed",
        "n_readings": len(rows),
        "kappa": {"value": None if np.isnan(value) else value, "low": low, "high": high, "n": len(rows)},
        "findings": {
            name: _compare_finding(marked[:, index], labelled[:, index], clusters)
            for index, name in enumerate(FINDINGS)
        },
    }


def _compare_finding(marked: NDArray[np.bool_], labelled: NDArray[np.bool_], clusters: Float64) -> dict[str, Any]:
    n = int(labelled.sum())
    if n < MIN_READINGS_PER_FINDING:
        return {"n": n, "share": None, "interval": None}

    def share_marked(weights: Float64) -> Float64:
        out = np.full(len(weights), np.nan)
        np.divide(weights @ (marked & labelled), weights @ labelled, out=out, where=weights @ labelled > 0)
        return out

    n_marked = int((marked & labelled).sum())
    n_clusters = int((clusters[:, labelled].sum(axis=1) > 0).sum())
    if n_marked in (0, n):
        exact = intervals.estimate_proportion(n_clusters if n_marked else 0, n_clusters)
        low, high = exact.low, exact.high
    else:
        low, high = intervals.bootstrap_over_cases(share_marked, clusters, np.random.default_rng(0))
    return {"n": n, "share": n_marked / n, "interval": [low, high]}


def _multi_finding_kappa(marked: NDArray[np.bool_], labelled: NDArray[np.bool_], weights: Float64) -> Float64:
    """Cohen's kappa over 14 yes-or-no findings per reading [n, 14], for weights of readings [B, n]."""
    n = weights.sum(axis=1) * len(FINDINGS)
    observed = weights @ (marked == labelled).sum(axis=1) / n
    share_marked, share_labelled = (weights @ findings.sum(axis=1) / n for findings in (marked, labelled))
    expected = share_marked * share_labelled + (1 - share_marked) * (1 - share_labelled)
    out = np.full(len(weights), np.nan)
    np.divide(observed - expected, 1 - expected, out=out, where=1 - expected > 1e-12)
    return out


def _one_minus_ratio(numerator: Float64, denominator: Float64) -> Float64:
    out = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=out, where=denominator > 1e-12)
    return np.asarray(1 - out)


def _estimate_over_cases(statistic: Callable[[Float64], Float64], n: int) -> StudyEstimate:
    value = float(statistic(np.ones((1, n)))[0]) if n else math.nan
    if math.isnan(value):
        return StudyEstimate(None, None, None, n)
    if n == 1:
        return StudyEstimate(value, None, None, n)
    low, high = intervals.bootstrap_over_cases(statistic, np.eye(n), np.random.default_rng(0))
    return StudyEstimate(value, low, high, n)
