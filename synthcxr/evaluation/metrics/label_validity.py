"""Label validity: does a judge separate images by their labels as well as it separates real films by theirs?

For each finding, validity = (AUROC on images - 0.5) / (AUROC on films - 0.5), from the judge's scores and no threshold:
1 is the separation of films, 0 is none, and below 0 the label is the wrong way round. The negatives of validity are all
images (films) without the finding. Those of specificity are the ones that carry another finding, so labels that only
mean "abnormal" have validity and no specificity.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from synthcxr.data.findings import FINDINGS
from synthcxr.data.metrics_rows import EXAGGERATION_LIMIT
from synthcxr.evaluation.metrics import bootstrap
from synthcxr.evaluation.metrics.bootstrap import Interval
from synthcxr.storage.progress import track

Bool = NDArray[np.bool_]
Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

MIN_GATED_POSITIVES = 15
"""A finding with fewer positive films is reported; it enters no gate and no mean."""
MIN_FILMS = 3
"""The positive films, and the negative ones, that an AUROC on films needs."""
MIN_IMAGES = 10
"""The images with the label, and those without it, that an AUROC on images needs."""
MAX_UNDISTINGUISHED_SHARE = 0.05
"""If at most this share of the images with another finding lacks the label, it does not distinguish: specificity 0."""
_WEIGHTS_PER_CHUNK = 1_000_000


@dataclasses.dataclass(frozen=True)
class LabelledScores:
    """A judge's scores [n, 14] of images or films, with their labels [n, 14]: 1, 0, and NaN for unknown.

    `groups` [n] are the patients, or None where the rows are independent. Only the rows of `gives_positives` and
    `gives_negatives`, bool [n], are used as positives and as negatives.
    """

    scores: NDArray[np.floating]
    labels: Float64
    groups: NDArray[np.object_] | None
    gives_positives: Bool
    gives_negatives: Bool

    @classmethod
    def from_labels(
        cls, scores: NDArray[np.floating], labels: ArrayLike, groups: NDArray[np.object_] | None = None
    ) -> LabelledScores:
        """One set of films or images, which gives positives and negatives."""
        every_row = np.ones(len(scores), np.bool_)
        return cls(scores, np.asarray(labels, np.float64), groups, every_row, every_row)

    @classmethod
    def from_request(
        cls,
        scores: NDArray[np.floating],
        labels: ArrayLike,
        *,
        baseline_scores: NDArray[np.floating],
        baseline_labels: ArrayLike,
    ) -> LabelledScores:
        """Requested images, which give the positives, and baseline images, which give the negatives."""
        is_requested = np.arange(len(scores) + len(baseline_scores)) < len(scores)
        return cls(
            scores=np.concatenate([scores, baseline_scores]),
            labels=np.concatenate([np.asarray(labels, np.float64), np.asarray(baseline_labels, np.float64)]),
            groups=None,
            gives_positives=is_requested,
            gives_negatives=~is_requested,
        )


@dataclasses.dataclass(frozen=True)
class Separation:
    """The AUROC of each finding [14], its resamples [14, B], and the numbers of positives and negatives [14].

    `n_undistinguished` [14] counts the rows that would be negatives if they lacked the label. An undefined AUROC is
    NaN.
    """

    auroc: Float64
    draws: Float64
    n_positive: Int64
    n_negative: Int64
    n_undistinguished: Int64


@dataclasses.dataclass(frozen=True)
class LabelRatio:
    """Validity or specificity of one finding, the two AUROCs that it is the ratio of, and their 95 % intervals.

    Without a value, `reason` says why. `gated` is False with fewer than MIN_GATED_POSITIVES positive films.
    """

    value: float | None
    interval: Interval | None
    real: float | None
    real_interval: Interval | None
    synthetic: float | None
    synthetic_interval: Interval | None
    n_real_positive: int
    n_real_negative: int
    n_synthetic_positive: int
    n_synthetic_negative: int
    gated: bool
    exaggerates: bool
    reason: str


@dataclasses.dataclass(frozen=True)
class LabelRatios:
    """The ratios by finding, and their mean over `mean_over`: the findings that have a value and are gated."""

    by_finding: dict[str, LabelRatio]
    mean: float | None
    mean_interval: Interval | None
    mean_over: tuple[str, ...]


def measure_separation(
    labelled: LabelledScores, *, n_bootstrap: int, rng: np.random.Generator
) -> tuple[Separation, Separation]:
    """The AUROCs against all rows without a finding, and against those of them that carry another finding.

    Both have the same resamples of patients, or of rows where these are independent.
    """
    present, absent = labelled.labels == 1, labelled.labels == 0
    carries_other = present.sum(axis=1, keepdims=True) - present > 0
    positive, negative = present & labelled.gives_positives[:, None], absent & labelled.gives_negatives[:, None]
    negatives = (negative, negative & carries_other)
    curves = [
        _RankedScores(labelled.scores[:, column], positive[:, column], mask[:, column])
        for mask in negatives
        for column in range(len(FINDINGS))
    ]
    draws = np.concatenate(
        [np.stack([curve.auroc(weights) for curve in curves]) for weights in _draw_weights(labelled, n_bootstrap, rng)],
        axis=1,
    )
    values = np.concatenate([curve.auroc(np.ones((len(positive), 1), np.float32)) for curve in curves])
    with_label = present & labelled.gives_negatives[:, None]
    validity, specificity = (
        Separation(values[rows], draws[rows], positive.sum(axis=0), mask.sum(axis=0), same.sum(axis=0))
        for rows, mask, same in zip(
            (slice(len(FINDINGS)), slice(len(FINDINGS), None)),
            negatives,
            (with_label, with_label & carries_other),
            strict=True,
        )
    )
    return validity, specificity


def compare_separations(*, real: Separation, synthetic: Separation) -> LabelRatios:
    """The ratio of the separations of images and of films, for each finding, and their mean."""
    by_finding: dict[str, LabelRatio] = {}
    gated_values: dict[str, float] = {}
    gated_draws: list[Float64] = []
    for column, finding in enumerate(FINDINGS):
        ratio, draws = _compare_finding(real, synthetic, column)
        by_finding[finding] = ratio
        if ratio.gated and ratio.value is not None:
            gated_values[finding] = ratio.value
            gated_draws.append(draws)
    return LabelRatios(
        by_finding=by_finding,
        mean=float(np.mean(list(gated_values.values()))) if gated_values else None,
        mean_interval=_estimate_interval(np.mean(gated_draws, axis=0)) if gated_draws else None,
        mean_over=tuple(gated_values),
    )


def _compare_finding(real: Separation, synthetic: Separation, column: int) -> tuple[LabelRatio, Float64]:
    """The ratio of one finding, and its resamples."""
    real_draws, synthetic_draws = real.draws[column], synthetic.draws[column]
    synthetic_value = float(synthetic.auroc[column])
    if _does_not_distinguish(synthetic, column):
        synthetic_value, synthetic_draws = 0.5, np.full(len(synthetic_draws), 0.5)
    real_value, real_interval = float(real.auroc[column]), _estimate_interval(real_draws)
    reason = _find_reason(real, synthetic, column, real_interval)
    draws = (synthetic_draws - 0.5) / np.where(real_draws == 0.5, np.nan, real_draws - 0.5)
    value = None if reason else (synthetic_value - 0.5) / (real_value - 0.5)
    interval = None if reason else _estimate_interval(draws)
    n_real_positive = int(real.n_positive[column])
    ratio = LabelRatio(
        value=value,
        interval=interval,
        real=_nan_to_none(real_value),
        real_interval=real_interval,
        synthetic=_nan_to_none(synthetic_value),
        synthetic_interval=_estimate_interval(synthetic_draws),
        n_real_positive=n_real_positive,
        n_real_negative=int(real.n_negative[column]),
        n_synthetic_positive=int(synthetic.n_positive[column]),
        n_synthetic_negative=int(synthetic.n_negative[column]),
        gated=n_real_positive >= MIN_GATED_POSITIVES,
        exaggerates=value is not None and interval is not None and value > EXAGGERATION_LIMIT and interval[0] > 1,
        reason=reason,
    )
    return ratio, draws


def _find_reason(real: Separation, synthetic: Separation, column: int, real_interval: Interval | None) -> str:
    """Why a finding has no ratio; "" if it has one."""
    n_films = min(int(real.n_positive[column]), int(real.n_negative[column]))
    if n_films < MIN_FILMS or real_interval is None:
        return f"n = {n_films} films"
    if real_interval[0] <= 0.5:
        low, high = real_interval
        return (
            "the judge cannot tell films with it from films without it: AUROC"
            f" {real.auroc[column]:.2f}, 95 % CI {low:.2f} to {high:.2f}"
        )
    n_positive, n_negative = int(synthetic.n_positive[column]), int(synthetic.n_negative[column])
    if n_positive < MIN_IMAGES:
        return f"n = {n_positive} images with the label"
    if n_negative < MIN_IMAGES and not _does_not_distinguish(synthetic, column):
        return f"n = {n_negative} images to compare with"
    return ""


def _does_not_distinguish(synthetic: Separation, column: int) -> bool:
    """Whether so few images lack the label that it says nothing: of 200 images to compare with, at most 5 %."""
    n_negative, n_same = int(synthetic.n_negative[column]), int(synthetic.n_undistinguished[column])
    return n_negative < MIN_IMAGES <= n_same and n_negative <= MAX_UNDISTINGUISHED_SHARE * (n_negative + n_same)


class _RankedScores:
    """The positives and negatives of one finding, grouped by score, for AUROCs under many weights at once.

    The distinct scores of positives are the steps. A negative lies between two steps or at one, where it is a tie and
    counts one half. So sums of weights by step, which sparse products give, replace sums over all pairs.
    """

    def __init__(self, scores: NDArray[np.floating], positive: Bool, negative: Bool) -> None:
        steps, step_of_positive = np.unique(scores[positive], return_inverse=True)
        below, up_to = (np.searchsorted(steps, scores[negative], side=side) for side in ("left", "right"))
        self.positives_at = _build_sums(len(steps), step_of_positive, positive)
        # Row 2 k: the negatives between steps k - 1 and k; row 2 k + 1: those at step k.
        self.negatives_at = _build_sums(2 * len(steps) + 1, below + up_to, negative)

    def auroc(self, weights: Float32) -> Float64:
        """The AUROC [B] under weights [n, B], which are whole numbers; NaN where a side has no weight."""
        positives, negatives = self.positives_at @ weights, self.negatives_at @ weights
        n_pairs = positives.sum(axis=0, dtype=np.float64) * negatives.sum(axis=0, dtype=np.float64)
        cumulative = np.cumsum(negatives, axis=0)
        n_below = (cumulative[:-1:2] + cumulative[1::2]) / 2
        n_in_order = np.einsum("sb,sb->b", positives, n_below, dtype=np.float64)
        aurocs: Float64 = np.divide(n_in_order, n_pairs, out=np.full(len(n_pairs), np.nan), where=n_pairs > 0)
        return aurocs


def _build_sums(n_sums: int, sum_of_row: NDArray[np.integer], rows: Bool) -> sparse.csr_array:
    """The matrix [n_sums, n] that adds each of `rows` to its sum."""
    columns = np.flatnonzero(rows)
    ones = np.ones(len(columns), np.float32)
    return sparse.csr_array((ones, (sum_of_row, columns)), shape=(n_sums, len(rows)))


def _draw_weights(labelled: LabelledScores, n_bootstrap: int, rng: np.random.Generator) -> Iterator[Float32]:
    """How often each row is drawn, [n, b], for a part of the resamples at a time."""
    n = len(labelled.scores)
    strata = []
    for rows in (labelled.gives_positives & ~labelled.gives_negatives, labelled.gives_negatives):
        groups = np.flatnonzero(rows) if labelled.groups is None else labelled.groups[rows].astype(str)
        strata.append((np.flatnonzero(rows), *np.unique(groups, return_inverse=True)))
    chunk = max(1, _WEIGHTS_PER_CHUNK // max(1, n))
    for start in track(range(0, n_bootstrap, chunk), "label validity", unit="blocks"):
        weights = np.zeros((min(chunk, n_bootstrap - start), n), np.float32)
        for resample in weights:
            for rows, names, codes in strata:
                if len(names):
                    counts = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
                    resample[rows] = counts[codes]
        yield np.ascontiguousarray(weights.T)


def _estimate_interval(draws: Float64) -> Interval | None:
    """The 95 % interval of the defined resamples; None if there is none."""
    defined = draws[np.isfinite(draws)]
    return bootstrap.percentile_interval(defined) if len(defined) else None


def _nan_to_none(value: float) -> float | None:
    return None if np.isnan(value) else value
