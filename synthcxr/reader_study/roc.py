"""ROC and AUC of a five-point confidence: how far synthetic images are rated above real ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from synthcxr.reader_study import intervals
from synthcxr.reader_study.intervals import Estimate, Float64, Z

LEVELS = 5


def curve(confidence: Float64, synthetic: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """(false alarm on real, sensitivity to synthetic) at each threshold, from (0, 0) to (1, 1); [] of one kind only."""
    counts = [_counts(confidence, synthetic == side) for side in (False, True)]
    if not all(held.sum() for held in counts):
        return []
    false, true = (np.concatenate([[0.0], np.cumsum(held[::-1]) / held.sum()]) for held in counts)
    return list(zip(false.tolist(), true.tolist(), strict=True))


def auc(confidence: Float64, synthetic: NDArray[np.bool_]) -> Estimate:
    """One reader's AUC, ties as halves, with Newcombe's interval, which stays open at 0 and 1.

    Source: Newcombe, Statistics in Medicine 25 (2006), 559-573, method 5.
    """
    real, made = (_counts(confidence, synthetic == side) for side in (False, True))
    n_real, n_made = int(real.sum()), int(made.sum())
    if not n_real or not n_made:
        return Estimate(None, None, None, len(confidence))
    value = float(_auc(real[None], made[None])[0])
    low, high = newcombe(value, n_real, n_made)
    return Estimate(value, low, high, n_real + n_made)


def pooled(
    confidence: Float64, synthetic: NDArray[np.bool_], names: list[str], rng: np.random.Generator
) -> Estimate | None:
    """The mean AUC of readers [R, C], NaN where one has not read a case, for other readers and cases too.

    None where one reader read, or a reader has read one kind alone.
    """
    read = ~np.isnan(confidence)
    if len(read) < 2 or not (read[:, synthetic].any(axis=1) & read[:, ~synthetic].any(axis=1)).all():
        return None
    at = np.stack([confidence == level for level in range(1, LEVELS + 1)]).astype(np.float64)  # [5, R, C]

    def mean(readers: Float64, cases: Float64) -> Float64:
        real, made = (np.einsum("bc,lrc->brl", cases[:, held], at[:, :, held]) for held in (~synthetic, synthetic))
        each = _auc(real, made)
        weights = np.where(np.isnan(each), 0.0, readers)
        return np.asarray((weights * np.nan_to_num(each)).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-12))

    held = intervals.clusters_of(names)
    found = intervals.pooled(mean, n_readers=len(read), clusters=held, n=int(read.sum()), rng=rng)
    if found is not None:
        return found
    value = float(mean(np.ones((1, len(read))), np.ones((1, len(synthetic))))[0])
    low, high = newcombe(value, int((~synthetic).sum()), int(synthetic.sum()))
    return Estimate(value, low, high, int(read.sum()))


def newcombe(value: float, m: int, n: int) -> tuple[float, float]:
    """The AUCs that differ from `value` by no more than 1.96 of their own standard errors, of m and n of a kind."""
    extra = (m + n) / 2 - 1

    def beyond(at: float) -> float:
        variance = at * (1 - at) * (1 + extra * ((1 - at) / (2 - at) + at / (1 + at))) / (m * n)
        return (value - at) ** 2 - Z**2 * float(variance)

    low = 0.0 if value <= 0 else brentq(beyond, 0.0, value * (1 - 1e-12))
    high = 1.0 if value >= 1 else brentq(beyond, value + (1 - value) * 1e-12, 1.0)
    return float(low), float(high)


def _counts(confidence: Float64, chosen: NDArray[np.bool_]) -> Float64:
    """How many of the chosen have each level [5]."""
    return np.array([(confidence[chosen] == level).sum() for level in range(1, LEVELS + 1)], dtype=np.float64)


def _auc(real: Float64, made: Float64) -> Float64:
    """The AUC of counts by level [..., 5]; NaN where one kind is absent."""
    below = np.cumsum(real, axis=-1) - real / 2
    pairs = real.sum(axis=-1) * made.sum(axis=-1)
    out = np.full(pairs.shape, np.nan)
    np.divide((made * below).sum(axis=-1), pairs, out=out, where=pairs > 0)
    return out
