"""How well readers tell real films from synthetic images: accuracy, ROC curve and AUC.

Each is estimated for one reader, and pooled over readers and cases.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from synthcxr.reader_study import intervals
from synthcxr.reader_study.intervals import Float64, StudyEstimate, Z

CHANCE = 0.5
LEVELS = 5


def estimate_reader_accuracy(correct: Float64) -> StudyEstimate:
    """The accuracy of one reader from `correct` [C]: 1 correct, 0 wrong, NaN unsure. Unsure readings are excluded."""
    decided = correct[~np.isnan(correct)]
    return intervals.estimate_proportion(int(decided.sum()), len(decided))


def pool_accuracy(correct: Float64, cluster_of_case: list[str], rng: np.random.Generator) -> StudyEstimate | None:
    """The accuracy over readers and cases from `correct` [R, C]; NaN (unsure or unread) is excluded.

    Returns None for one reader. If all readings or none are correct, the interval is the exact one for as many readings
    as there are clusters.
    """
    is_decided = ~np.isnan(correct)
    if len(correct) < 2 or not is_decided.any():
        return None
    n_correct, n_decided = np.nan_to_num(correct), is_decided.astype(np.float64)

    def accuracy(reader_weights: Float64, case_weights: Float64) -> Float64:
        numerator, denominator = (
            ((case_weights @ counts.T) * reader_weights).sum(axis=1) for counts in (n_correct, n_decided)
        )
        out = np.full(len(numerator), np.nan)
        np.divide(numerator, denominator, out=out, where=denominator > 0)
        return out

    n = int(is_decided.sum())
    clusters = intervals.build_clusters(cluster_of_case)
    estimate = intervals.estimate_over_readers_and_cases(
        accuracy, n_readers=len(correct), clusters=clusters, n=n, rng=rng
    )
    if estimate is not None:
        return estimate
    value = n_correct.sum() / n
    exact = intervals.estimate_proportion(round(value * len(clusters)), len(clusters))
    return StudyEstimate(value, exact.low, exact.high, n)


def compute_roc(confidence: Float64, synthetic: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """The ROC curve: (false alarms on real, sensitivity to synthetic) per threshold, from (0, 0) to (1, 1).

    Returns [] if all images have the same origin.
    """
    counts = [_count_levels(confidence, synthetic == origin) for origin in (False, True)]
    if not all(count.sum() for count in counts):
        return []
    false_alarms, sensitivity = (np.concatenate([[0.0], np.cumsum(count[::-1]) / count.sum()]) for count in counts)
    return list(zip(false_alarms.tolist(), sensitivity.tolist(), strict=True))


def estimate_reader_auc(confidence: Float64, synthetic: NDArray[np.bool_]) -> StudyEstimate:
    """The AUC of one reader, with ties counted as halves, and Newcombe's interval, which has a width at 0 and 1 too.

    Source: Newcombe, Statistics in Medicine 25 (2006), 559-573, method 5.
    """
    real_counts, synthetic_counts = (_count_levels(confidence, synthetic == origin) for origin in (False, True))
    n_real, n_synthetic = int(real_counts.sum()), int(synthetic_counts.sum())
    if not n_real or not n_synthetic:
        return StudyEstimate(None, None, None, len(confidence))
    value = float(_compute_auc(real_counts[None], synthetic_counts[None])[0])
    low, high = newcombe_interval(value, n_real, n_synthetic)
    return StudyEstimate(value, low, high, n_real + n_synthetic)


def pool_auc(
    confidence: Float64, synthetic: NDArray[np.bool_], cluster_of_case: list[str], rng: np.random.Generator
) -> StudyEstimate | None:
    """The mean AUC of readers from `confidence` [R, C], NaN where a case is unread, over readers and cases.

    Returns None for one reader, or if a reader has read only real films or only synthetic images.
    """
    is_read = ~np.isnan(confidence)
    if len(is_read) < 2 or not (is_read[:, synthetic].any(axis=1) & is_read[:, ~synthetic].any(axis=1)).all():
        return None
    has_level = np.stack([confidence == level for level in range(1, LEVELS + 1)]).astype(np.float64)  # [5, R, C]

    def mean_auc(reader_weights: Float64, case_weights: Float64) -> Float64:
        real_counts, synthetic_counts = (
            np.einsum("bc,lrc->brl", case_weights[:, origin], has_level[:, :, origin])
            for origin in (~synthetic, synthetic)
        )
        auc_of_reader = _compute_auc(real_counts, synthetic_counts)
        weights = np.where(np.isnan(auc_of_reader), 0.0, reader_weights)
        weighted_sum = (weights * np.nan_to_num(auc_of_reader)).sum(axis=1)
        return np.asarray(weighted_sum / np.maximum(weights.sum(axis=1), 1e-12))

    clusters = intervals.build_clusters(cluster_of_case)
    estimate = intervals.estimate_over_readers_and_cases(
        mean_auc, n_readers=len(is_read), clusters=clusters, n=int(is_read.sum()), rng=rng
    )
    if estimate is not None:
        return estimate
    value = float(mean_auc(np.ones((1, len(is_read))), np.ones((1, len(synthetic))))[0])
    low, high = newcombe_interval(value, int((~synthetic).sum()), int(synthetic.sum()))
    return StudyEstimate(value, low, high, int(is_read.sum()))


def newcombe_interval(auc: float, n_real: int, n_synthetic: int) -> tuple[float, float]:
    """The AUCs that differ from `auc` by at most 1.96 of their own standard errors, for these numbers of images."""
    mean_minus_one = (n_real + n_synthetic) / 2 - 1

    def excess(bound: float) -> float:
        ratio = (1 - bound) / (2 - bound) + bound / (1 + bound)
        variance = bound * (1 - bound) * (1 + mean_minus_one * ratio) / (n_real * n_synthetic)
        return (auc - bound) ** 2 - Z**2 * float(variance)

    low = 0.0 if auc <= 0 else brentq(excess, 0.0, auc * (1 - 1e-12))
    high = 1.0 if auc >= 1 else brentq(excess, auc + (1 - auc) * 1e-12, 1.0)
    return float(low), float(high)


def _count_levels(confidence: Float64, selected: NDArray[np.bool_]) -> Float64:
    """The number of selected readings at each confidence level, [5]."""
    return np.array([(confidence[selected] == level).sum() for level in range(1, LEVELS + 1)], dtype=np.float64)


def _compute_auc(real_counts: Float64, synthetic_counts: Float64) -> Float64:
    """The AUC from counts by confidence level [..., 5]; NaN where either count is zero."""
    n_real_below = np.cumsum(real_counts, axis=-1) - real_counts / 2
    n_pairs = real_counts.sum(axis=-1) * synthetic_counts.sum(axis=-1)
    out = np.full(n_pairs.shape, np.nan)
    np.divide((synthetic_counts * n_real_below).sum(axis=-1), n_pairs, out=out, where=n_pairs > 0)
    return out
