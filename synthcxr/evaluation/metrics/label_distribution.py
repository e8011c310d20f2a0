"""Compares how often findings occur in synthetic images and in real films, both labelled by the same judge.

A label distribution counts one label for each judged finding in an image, or one "No Finding" label. A finding that is
not judged has its share listed and has no effect on any other figure.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.data.share_interval import wilson_interval
from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import bootstrap
from synthcxr.evaluation.metrics.bootstrap import Interval
from synthcxr.model_files import predictions

Bool = NDArray[np.bool_]
Float64 = NDArray[np.float64]

PSEUDO_COUNT = 0.5


@dataclasses.dataclass(frozen=True)
class FindingShare:
    """The share of real films and of synthetic images with one finding, their ratio, and 95 % intervals.

    The interval of the real share resamples patients, that of the synthetic share is Wilson's, and that of the ratio
    resamples both sides. `ratio` (synthetic / real) is None if no real film has the finding.
    """

    real: float
    real_interval: Interval
    synthetic: float
    synthetic_interval: Interval
    ratio: float | None
    ratio_interval: Interval | None
    n_real_positive: int
    judged: bool


@dataclasses.dataclass(frozen=True)
class LabelComparison:
    """Shares by finding ("No Finding" first) and divergences between the synthetic and the real label distribution.

    `jensen_shannon` is in bits (0 to 1); `kl` is KL(synthetic || real) in nats, over smoothed counts.
    """

    shares: dict[str, FindingShare]
    total_variation: float
    jensen_shannon: float
    kl: float
    not_judged: tuple[str, ...]
    n_real: int
    n_synthetic: int

    def as_dict(self) -> dict[str, Any]:
        """The shape of "labels" in metrics.json."""
        return dataclasses.asdict(self)


def apply_thresholds(logits: NDArray[np.float32], thresholds: Mapping[str, float]) -> Bool:
    """Which findings [n, 14] reach their threshold; a finding without a threshold never does."""
    if not np.isfinite(logits).all():
        raise DataError("some logits of the judge are not finite; export it again or train it again")
    return predictions.is_present(predictions.to_probabilities(logits), thresholds)


def compare_labels(
    *,
    real: Bool,
    synthetic: Bool,
    real_patients: NDArray[np.object_],
    not_judged: Collection[str],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> LabelComparison:
    """Compare the findings bool [n, 14] of real films with those of synthetic images [m, 14]."""
    real_labels, synthetic_labels = add_no_finding(real, not_judged), add_no_finding(synthetic, not_judged)
    real_draws = _resample_shares(real_labels, real_patients, n_bootstrap, rng)
    shares = {}
    for column, name in enumerate((NO_FINDING, *FINDINGS)):
        real_share, synthetic_share = real_labels[:, column].mean().item(), synthetic_labels[:, column].mean().item()
        draws = real_draws[:, column]
        shares[name] = FindingShare(
            real=real_share,
            real_interval=_real_interval(real_share, draws, len(set(real_patients))),
            synthetic=synthetic_share,
            synthetic_interval=wilson_interval(synthetic_labels[:, column].sum().item(), len(synthetic)),
            ratio=synthetic_share / real_share if real_share > 0 else None,
            ratio_interval=_ratio_interval(draws, synthetic_share, len(synthetic), rng) if real_share > 0 else None,
            n_real_positive=int(real_labels[:, column].sum()),
            judged=name not in not_judged,
        )
    judged = np.array([share.judged for share in shares.values()])
    counts = {
        "real": real_labels[:, judged].sum(axis=0).astype(np.float64),
        "synthetic": synthetic_labels[:, judged].sum(axis=0).astype(np.float64),
    }
    return LabelComparison(
        shares=shares,
        total_variation=total_variation(**counts),
        jensen_shannon=jensen_shannon(**counts),
        kl=kullback_leibler(**counts),
        not_judged=tuple(finding for finding in FINDINGS if finding in not_judged),
        n_real=len(real),
        n_synthetic=len(synthetic),
    )


def add_no_finding(findings: Bool, not_judged: Collection[str] = ()) -> Bool:
    """Put a "No Finding" column (no judged finding is present) before findings [n, 14]; returns bool [n, 15]."""
    judged = np.array([finding not in not_judged for finding in FINDINGS])
    no_finding = ~findings[:, judged].any(axis=1, keepdims=True)
    return np.concatenate([no_finding, findings], axis=1)


def total_variation(*, real: Float64, synthetic: Float64) -> float:
    """Half the sum of absolute differences of two label distributions, from counts [k]: 0 equal, 1 disjoint."""
    return float(np.abs(synthetic / synthetic.sum() - real / real.sum()).sum() / 2)


def jensen_shannon(*, real: Float64, synthetic: Float64) -> float:
    """Jensen-Shannon divergence in bits of two label distributions, from counts [k]: 0 equal, 1 disjoint."""
    p, q = synthetic / synthetic.sum(), real / real.sum()
    return max(0.0, (_relative_entropy(p, (p + q) / 2) + _relative_entropy(q, (p + q) / 2)) / (2 * math.log(2)))


def kullback_leibler(*, real: Float64, synthetic: Float64) -> float:
    """KL(synthetic || real) in nats from counts [k], with half a count added to every bin so that none is empty."""
    p, q = synthetic + PSEUDO_COUNT, real + PSEUDO_COUNT
    return max(_relative_entropy(p / p.sum(), q / q.sum()), 0.0)


def _relative_entropy(p: Float64, q: Float64) -> float:
    positive = p > 0
    return float((p[positive] * np.log(p[positive] / q[positive])).sum())


def _resample_shares(
    labels: Bool, patients: NDArray[np.object_], n_bootstrap: int, rng: np.random.Generator
) -> Float64:
    """The shares [n_bootstrap, k] of labels [n, k] in resamples of the patients."""
    draws = np.empty((n_bootstrap, labels.shape[1]))
    for row in draws:
        weights = bootstrap.resample_patients(patients, rng)
        row[:] = weights @ labels / weights.sum()
    return draws


def _real_interval(share: float, draws: Float64, n_patients: int) -> Interval:
    """Percentile interval, or Wilson's over patients if all films agree, since no resample then differs."""
    if share in (0, 1):
        return wilson_interval(share * n_patients, n_patients)
    return bootstrap.percentile_interval(draws)


def _ratio_interval(real_draws: Float64, share: float, n: int, rng: np.random.Generator) -> Interval | None:
    """The interval of the ratio of the `share` among n images to the resampled real shares.

    Real resamples without the finding are left out; None if no other remains. If all images agree, no resample of
    them differs, so Wilson's limits of the share are divided by the limits of the real draws.
    """
    synthetic_draws = rng.binomial(n, share, size=len(real_draws)) / n
    positive_draws = real_draws[real_draws > 0]
    if not len(positive_draws):
        return None
    if share in (0, 1):
        share_low, share_high = wilson_interval(share * n, n)
        real_low, real_high = bootstrap.percentile_interval(positive_draws)
        return share_low / real_high, share_high / real_low
    return bootstrap.percentile_interval(synthetic_draws[real_draws > 0] / positive_draws)
