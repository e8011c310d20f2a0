"""AUROC and average precision per finding, unknown labels left out, with intervals by bootstrap over patients.

Both are read from counts of positives and negatives per distinct score, so that a resample of patients is only
another weight for each film: nothing is sorted twice. Ties count one half in the AUROC (Mann-Whitney), and are one
step of the precision-recall curve.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcxr.data.findings import FINDINGS

Float64 = NDArray[np.float64]

MIN_POSITIVES = 3
_CHUNK = 4_000_000


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval over resampled patients; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON: null stands for what is not defined."""
        return {"value": _json(self.value), "interval": [_json(self.low), _json(self.high)]}


@dataclasses.dataclass(frozen=True)
class FindingScore:
    """One finding over the `n` films in which it is known."""

    n: int
    n_positive: int
    auroc: Estimate
    average_precision: Estimate


@dataclasses.dataclass(frozen=True)
class Scores:
    """All 14 findings, and the mean AUROC over those named in `mean_over`."""

    findings: dict[str, FindingScore]
    mean_auroc: Estimate
    mean_over: tuple[str, ...]
    n_films: int
    n_patients: int
    n_bootstrap: int


def auroc(*, scores: ArrayLike, truth: ArrayLike) -> float:
    """Area under the ROC curve; NaN labels are left out, NaN is returned unless both kinds are present."""
    return float(_Curve(scores, truth).auroc(None)[0])


def auroc_estimate(
    *,
    scores: ArrayLike,
    truth: ArrayLike,
    patients: Sequence[object] | NDArray[Any],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> Estimate:
    """`auroc` with its interval over resampled patients."""
    value, draws = auroc_draws(scores=scores, truth=truth, patients=patients, n_bootstrap=n_bootstrap, rng=rng)
    return _estimate(value, draws)


def auroc_draws(
    *,
    scores: ArrayLike,
    truth: ArrayLike,
    patients: Sequence[object] | NDArray[Any],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> tuple[float, Float64]:
    """`auroc` and its value in each of `n_bootstrap` resamples of patients, which follow `rng` alone."""
    names, codes = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    curve = _Curve(scores, truth)
    return float(curve.auroc(None)[0]), curve.auroc(_resamples(rng, len(names), n_bootstrap)[:, codes])


def average_precision(*, scores: ArrayLike, truth: ArrayLike) -> float:
    """Sum over thresholds of the step in recall times the precision there; NaN without a positive."""
    return float(_Curve(scores, truth).average_precision(None)[0])


def ranked(findings: NDArray[np.float32], *, min_positives: int = MIN_POSITIVES) -> tuple[str, ...]:
    """The findings of [N, 14] with enough known positives, and as many negatives, to be ranked at all."""
    positive, negative = (findings == 1).sum(axis=0), (findings == 0).sum(axis=0)
    return tuple(f for f, p, n in zip(FINDINGS, positive, negative, strict=True) if min(p, n) >= min_positives)


def mean_auroc(scores: NDArray[np.floating], findings: NDArray[np.float32]) -> float:
    """Mean AUROC over the `ranked` findings of [N, 14] arrays; NaN where there is none."""
    columns = [FINDINGS.index(finding) for finding in ranked(findings)]
    each = [auroc(scores=scores[:, column], truth=findings[:, column]) for column in columns]
    return float(np.mean(each)) if each else float("nan")


def score(
    *,
    scores: NDArray[np.floating],
    findings: NDArray[np.float32],
    patients: Sequence[object] | NDArray[Any],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> Scores:
    """Every finding of [N, 14] scores and labels, with the interval of each; one set of resamples serves all.

    A resample in which a finding has but one kind of film says nothing about it and is left out of its interval.
    """
    names, codes = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    curves = [_Curve(scores[:, i], findings[:, i]) for i in range(len(FINDINGS))]
    drawn = np.full((2, len(FINDINGS), n_bootstrap), np.nan)
    chunk = max(1, _CHUNK // max(1, len(codes)))
    for start in range(0, n_bootstrap, chunk):
        part = slice(start, min(start + chunk, n_bootstrap))
        weights = _resamples(rng, len(names), part.stop - part.start)[:, codes]
        for i, curve in enumerate(curves):
            drawn[0, i, part], drawn[1, i, part] = curve.auroc(weights), curve.average_precision(weights)
    held = {
        finding: FindingScore(
            n=curve.n,
            n_positive=curve.n_positive,
            auroc=_estimate(float(curve.auroc(None)[0]), drawn[0, i]),
            average_precision=_estimate(float(curve.average_precision(None)[0]), drawn[1, i]),
        )
        for i, (finding, curve) in enumerate(zip(FINDINGS, curves, strict=True))
    }
    over = ranked(findings)
    columns = [FINDINGS.index(finding) for finding in over]
    return Scores(
        findings=held,
        mean_auroc=_estimate(mean_auroc(scores, findings), _mean_draws(drawn[0][columns])),
        mean_over=over,
        n_films=len(codes),
        n_patients=len(names),
        n_bootstrap=n_bootstrap,
    )


def mean_within(
    *,
    scores: NDArray[np.floating],
    findings: NDArray[np.float32],
    strata: Sequence[object] | NDArray[Any],
    patients: Sequence[object] | NDArray[Any],
    over: Sequence[str],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> Estimate:
    """Mean AUROC over the findings `over`, each film compared with films of its own stratum alone.

    Pairs of all strata count alike, so that one stratum for all gives the plain mean. What only tells strata apart
    scores 0.5. NaN where a finding has no pair.
    """
    names, codes = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    _, groups = np.unique(np.asarray(strata, dtype=str), return_inverse=True)
    weights = _resamples(rng, len(names), n_bootstrap)[:, codes]
    values: list[Float64] = []
    draws: list[Float64] = []
    for column in (FINDINGS.index(finding) for finding in over):
        parts = [
            _Curve(scores[:, column], np.where(groups == group, findings[:, column], np.nan)) for group in set(groups)
        ]
        for held, drawn in ((values, None), (draws, weights)):
            counted = np.array([part.pairs(drawn) for part in parts])
            held.append(_ratio(*counted.sum(axis=0)))
    value = float(np.mean(values)) if values else float("nan")
    return _estimate(value, _mean_draws(np.array(draws)))


def by_stratum(
    *,
    findings: NDArray[np.float32],
    strata: Sequence[object] | NDArray[Any],
    of: Sequence[object] | NDArray[Any],
) -> NDArray[np.float64]:
    """What is known without a pixel: the share of each finding among films [N, 14] of the stratum, for each of `of`.

    A stratum without films gets the share among all. One of each kind is added, so that no share is 0 or 1.
    """
    named = np.asarray(strata, dtype=str)

    def share(held: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray((np.nansum(held, axis=0) + 1) / ((~np.isnan(held)).sum(axis=0) + 2), dtype=np.float64)

    known = {stratum: share(findings[named == stratum]) for stratum in set(named)}
    return np.array([known.get(str(stratum), share(findings)) for stratum in of])


class _Curve:
    """One finding's films by distinct score, highest first, ready to be weighted."""

    def __init__(self, scores: ArrayLike, truth: ArrayLike) -> None:
        values, labels = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
        known = np.flatnonzero(~np.isnan(labels))
        self.order = known[np.argsort(-values[known], kind="stable")]
        self.positive = labels[self.order] == 1
        ordered = values[self.order]
        self.starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.array([], int)
        self.n, self.n_positive = len(self.order), int(self.positive.sum())

    def _counts(self, weights: Float64 | None) -> tuple[Float64, Float64]:
        """Weight of positives and of negatives [B, distinct scores]; one row of ones without weights."""
        held = np.ones((1, self.n)) if weights is None else weights[:, self.order]
        positive = np.add.reduceat(held * self.positive, self.starts, axis=1)
        return positive, np.add.reduceat(held * ~self.positive, self.starts, axis=1)

    def pairs(self, weights: Float64 | None) -> tuple[Float64, Float64]:
        """Pairs of a positive and a negative in the right order, ties as halves, and all pairs [B]."""
        if self.n == 0:
            return (np.zeros(1 if weights is None else len(weights)),) * 2
        positive, negative = self._counts(weights)
        above = np.cumsum(positive, axis=1) - positive / 2
        return (above * negative).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1)

    def auroc(self, weights: Float64 | None) -> Float64:
        return _ratio(*self.pairs(weights))

    def average_precision(self, weights: Float64 | None) -> Float64:
        if self.n == 0:
            return np.full(1 if weights is None else len(weights), np.nan)
        positive, negative = self._counts(weights)
        called = np.cumsum(positive + negative, axis=1)
        precision = np.cumsum(positive, axis=1) / np.maximum(called, 1)
        return _ratio((positive * precision).sum(axis=1), positive.sum(axis=1))


def _resamples(rng: np.random.Generator, n_patients: int, n: int) -> Float64:
    """How often each patient is drawn [n, patients] when as many as there are are drawn with replacement."""
    shares = np.full(n_patients, 1 / n_patients)
    return rng.multinomial(n_patients, shares, size=n).astype(np.float64)


def _ratio(above: Float64, below: Float64) -> Float64:
    out = np.full(len(above), np.nan)
    np.divide(above, below, out=out, where=below > 0)
    return out


def _mean_draws(draws: Float64) -> Float64:
    """The mean over findings of each resample in which all of them are defined [B]."""
    return np.asarray(draws.mean(axis=0)) if len(draws) else np.empty(0)


def _estimate(value: float, draws: Float64) -> Estimate:
    defined = draws[~np.isnan(draws)]
    if np.isnan(value) or len(defined) == 0:
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.percentile(defined, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def _json(value: float) -> float | None:
    return None if np.isnan(value) else value
