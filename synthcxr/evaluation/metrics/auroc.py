"""AUROC and average precision per finding, without unknown labels, with intervals by bootstrap over patients.

Both are computed from the counts of positives and negatives at each distinct score. A resample of patients then only
changes the weight of each film, and the scores are sorted once. Ties count one half in the AUROC (Mann-Whitney) and
are one step of the precision-recall curve.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcxr.data.findings import FINDINGS
from synthcxr.data.minimum_films import MIN_POSITIVES_FOR_AUROC
from synthcxr.storage.progress import track

Float64 = NDArray[np.float64]

_CHUNK = 4_000_000


@dataclasses.dataclass(frozen=True)
class AurocEstimate:
    """A value and its 95 % interval over resampled patients; NaN if undefined."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON, with null for an undefined number."""
        return {"value": _nan_to_none(self.value), "interval": [_nan_to_none(self.low), _nan_to_none(self.high)]}


@dataclasses.dataclass(frozen=True)
class FindingPerformance:
    """Metrics of one finding over the `n` films whose label is known."""

    n: int
    n_positive: int
    auroc: AurocEstimate
    average_precision: AurocEstimate


@dataclasses.dataclass(frozen=True)
class ClassifierPerformance:
    """Metrics of all 14 findings, and the mean AUROC over the findings in `mean_over`."""

    findings: dict[str, FindingPerformance]
    mean_auroc: AurocEstimate
    mean_over: tuple[str, ...]
    n_films: int
    n_patients: int
    n_bootstrap: int


def auroc(*, scores: ArrayLike, truth: ArrayLike) -> float:
    """Area under the ROC curve; ignores NaN labels, and is NaN without a positive and a negative."""
    return float(_Curve(scores, truth).auroc(None)[0])


def estimate_auroc(
    *,
    scores: ArrayLike,
    truth: ArrayLike,
    patients: Sequence[object] | NDArray[Any],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> AurocEstimate:
    """The AUROC with its 95 % interval over resampled patients."""
    value, draws = bootstrap_auroc(scores=scores, truth=truth, patients=patients, n_bootstrap=n_bootstrap, rng=rng)
    return _estimate(value, draws)


def bootstrap_auroc(
    *,
    scores: ArrayLike,
    truth: ArrayLike,
    patients: Sequence[object] | NDArray[Any],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> tuple[float, Float64]:
    """The AUROC and its value in each of `n_bootstrap` resamples of patients, which depend on `rng` alone."""
    names, codes = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    curve = _Curve(scores, truth)
    return float(curve.auroc(None)[0]), curve.auroc(_draw_patient_weights(rng, len(names), n_bootstrap)[:, codes])


def average_precision(*, scores: ArrayLike, truth: ArrayLike) -> float:
    """Sum over thresholds of the increase in recall times the precision; NaN without a positive."""
    return float(_Curve(scores, truth).average_precision(None)[0])


def select_rankable_findings(
    findings: NDArray[np.float32], *, min_positives: int = MIN_POSITIVES_FOR_AUROC
) -> tuple[str, ...]:
    """The findings of labels [N, 14] that have at least `min_positives` known positives and as many negatives."""
    n_positive, n_negative = (findings == 1).sum(axis=0), (findings == 0).sum(axis=0)
    return tuple(
        name
        for name, positives, negatives in zip(FINDINGS, n_positive, n_negative, strict=True)
        if min(positives, negatives) >= min_positives
    )


def mean_auroc(scores: NDArray[np.floating], findings: NDArray[np.float32]) -> float:
    """Mean AUROC of [N, 14] arrays over the findings of `select_rankable_findings`; NaN if there is none."""
    columns = [FINDINGS.index(finding) for finding in select_rankable_findings(findings)]
    values = [auroc(scores=scores[:, column], truth=findings[:, column]) for column in columns]
    return float(np.mean(values)) if values else float("nan")


def measure_performance(
    *,
    scores: NDArray[np.floating],
    findings: NDArray[np.float32],
    patients: Sequence[object] | NDArray[Any],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> ClassifierPerformance:
    """Metrics and intervals of every finding from scores and labels [N, 14]; all findings share the resamples.

    A resample without a positive or without a negative of a finding does not enter the interval of that finding.
    """
    names, codes = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    curves = [_Curve(scores[:, i], findings[:, i]) for i in range(len(FINDINGS))]
    auroc_values, precision_values = np.full((2, len(FINDINGS), n_bootstrap), np.nan)
    chunk = max(1, _CHUNK // max(1, len(codes)))
    for start in track(range(0, n_bootstrap, chunk), "intervals of AUROC", unit="blocks"):
        stop = min(start + chunk, n_bootstrap)
        weights = _draw_patient_weights(rng, len(names), stop - start)[:, codes]
        for i, curve in enumerate(curves):
            auroc_values[i, start:stop] = curve.auroc(weights)
            precision_values[i, start:stop] = curve.average_precision(weights)
    by_finding = {
        finding: FindingPerformance(
            n=curve.n,
            n_positive=curve.n_positive,
            auroc=_estimate(float(curve.auroc(None)[0]), auroc_values[i]),
            average_precision=_estimate(float(curve.average_precision(None)[0]), precision_values[i]),
        )
        for i, (finding, curve) in enumerate(zip(FINDINGS, curves, strict=True))
    }
    mean_over = select_rankable_findings(findings)
    columns = [FINDINGS.index(finding) for finding in mean_over]
    return ClassifierPerformance(
        findings=by_finding,
        mean_auroc=_estimate(mean_auroc(scores, findings), _mean_over_findings(auroc_values[columns])),
        mean_over=mean_over,
        n_films=len(codes),
        n_patients=len(names),
        n_bootstrap=n_bootstrap,
    )


def mean_auroc_within_strata(
    *,
    scores: NDArray[np.floating],
    findings: NDArray[np.float32],
    strata: Sequence[object] | NDArray[Any],
    patients: Sequence[object] | NDArray[Any],
    over: Sequence[str],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> AurocEstimate:
    """Mean AUROC over the findings `over`, in which a film is compared only with films of its own stratum.

    Pairs of all strata have the same weight, so a single stratum gives the ordinary mean AUROC. Scores that only
    separate the strata get 0.5. NaN if a finding has no pair.
    """
    names, codes = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    weights = _draw_patient_weights(rng, len(names), n_bootstrap)[:, codes]
    columns = [FINDINGS.index(finding) for finding in over]
    values = [_auroc_within_strata(scores[:, i], findings[:, i], strata, None) for i in columns]
    draws = [_auroc_within_strata(scores[:, i], findings[:, i], strata, weights) for i in columns]
    value = float(np.mean(values)) if values else float("nan")
    return _estimate(value, _mean_over_findings(np.array(draws)))


def estimate_auroc_within_strata(
    *,
    scores: NDArray[np.floating],
    truth: NDArray[Any],
    strata: Sequence[object] | NDArray[Any],
    patients: Sequence[object] | NDArray[Any],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> AurocEstimate:
    """The AUROC [N] in which a row is compared only with rows of its own stratum, as in `mean_auroc_within_strata`."""
    names, codes = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    weights = _draw_patient_weights(rng, len(names), n_bootstrap)[:, codes]
    value = _auroc_within_strata(scores, truth, strata, None)
    return _estimate(float(value[0]), _auroc_within_strata(scores, truth, strata, weights))


def _auroc_within_strata(
    scores: NDArray[np.floating],
    truth: NDArray[Any],
    strata: Sequence[object] | NDArray[Any],
    weights: Float64 | None,
) -> Float64:
    """One value for each row of `weights`, or a single one without weights."""
    _, groups = np.unique(np.asarray(strata, dtype=str), return_inverse=True)
    curves = [_Curve(scores, np.where(groups == group, truth, np.nan)) for group in set(groups)]
    pair_counts = np.array([curve.count_pairs(weights) for curve in curves])
    return _divide(*pair_counts.sum(axis=0))


def predict_from_stratum(
    *,
    findings: NDArray[np.float32],
    strata: Sequence[object] | NDArray[Any],
    target_strata: Sequence[object] | NDArray[Any],
) -> NDArray[np.float64]:
    """Scores [n, 14] that use no pixel: for each of `target_strata`, the share of each finding in that stratum.

    The shares come from the labels [N, 14] of films in `strata`. A stratum without films gets the shares of all
    films. One positive and one negative are added to the counts, so no share is 0 or 1.
    """
    stratum_of_film = np.asarray(strata, dtype=str)

    def smoothed_share(labels: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray((np.nansum(labels, axis=0) + 1) / ((~np.isnan(labels)).sum(axis=0) + 2), dtype=np.float64)

    shares = {stratum: smoothed_share(findings[stratum_of_film == stratum]) for stratum in set(stratum_of_film)}
    return np.array([shares.get(str(stratum), smoothed_share(findings)) for stratum in target_strata])


class _Curve:
    """The films of one finding, grouped by distinct score, highest first, for weighted counts."""

    def __init__(self, scores: ArrayLike, truth: ArrayLike) -> None:
        values, labels = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
        known = np.flatnonzero(~np.isnan(labels))
        self.order = known[np.argsort(-values[known], kind="stable")]
        self.positive = labels[self.order] == 1
        ordered = values[self.order]
        self.starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.array([], int)
        self.n, self.n_positive = len(self.order), int(self.positive.sum())

    def _sum_weights(self, weights: Float64 | None) -> tuple[Float64, Float64]:
        """The weight of positives and of negatives [B, distinct scores]; without weights each film counts 1."""
        ordered = np.ones((1, self.n)) if weights is None else weights[:, self.order]
        positive = np.add.reduceat(ordered * self.positive, self.starts, axis=1)
        return positive, np.add.reduceat(ordered * ~self.positive, self.starts, axis=1)

    def count_pairs(self, weights: Float64 | None) -> tuple[Float64, Float64]:
        """The number [B] of positive-negative pairs in the right order (a tie is a half), and of all such pairs."""
        if self.n == 0:
            return (np.zeros(1 if weights is None else len(weights)),) * 2
        positive, negative = self._sum_weights(weights)
        above = np.cumsum(positive, axis=1) - positive / 2
        return (above * negative).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1)

    def auroc(self, weights: Float64 | None) -> Float64:
        return _divide(*self.count_pairs(weights))

    def average_precision(self, weights: Float64 | None) -> Float64:
        if self.n == 0:
            return np.full(1 if weights is None else len(weights), np.nan)
        positive, negative = self._sum_weights(weights)
        called = np.cumsum(positive + negative, axis=1)
        precision = np.cumsum(positive, axis=1) / np.maximum(called, 1)
        return _divide((positive * precision).sum(axis=1), positive.sum(axis=1))


def _draw_patient_weights(rng: np.random.Generator, n_patients: int, n: int) -> Float64:
    """How often each patient is drawn, [n, n_patients], in n bootstrap resamples of all patients."""
    shares = np.full(n_patients, 1 / n_patients)
    return rng.multinomial(n_patients, shares, size=n).astype(np.float64)


def _divide(numerator: Float64, denominator: Float64) -> Float64:
    """The quotient, NaN where the denominator is 0."""
    quotient = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient


def _mean_over_findings(draws: Float64) -> Float64:
    """The mean over findings of draws [findings, B]; NaN where a finding is undefined in a resample."""
    return np.asarray(draws.mean(axis=0)) if len(draws) else np.empty(0)


def _estimate(value: float, draws: Float64) -> AurocEstimate:
    defined = draws[~np.isnan(draws)]
    if np.isnan(value) or len(defined) == 0:
        return AurocEstimate(value, float("nan"), float("nan"))
    low, high = np.percentile(defined, [2.5, 97.5])
    return AurocEstimate(value, float(low), float(high))


def _nan_to_none(value: float) -> float | None:
    return None if np.isnan(value) else value
