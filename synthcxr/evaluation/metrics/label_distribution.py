"""How the findings of synthetic images are spread against those of real films, both labelled by one judge.

Divergences are between distributions of labels: one row per image and judged finding that it shows, or one
"No Finding" row. A finding that is not judged has its share listed and enters nothing else.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import bootstrap
from synthcxr.evaluation.metrics.bootstrap import Interval
from synthcxr.model_files import predictions

Bool = NDArray[np.bool_]
Float64 = NDArray[np.float64]

PSEUDO_COUNT = 0.5


@dataclasses.dataclass(frozen=True)
class Share:
    """Share of real films and of synthetic images with one finding, 95 % intervals, and synthetic / real.

    The real interval resamples patients, the synthetic one is Wilson's, that of the ratio resamples both sides; `ratio`
    is None where no real film has it.
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
class LabelShift:
    """Shares by finding ("No Finding" first) and the divergences of synthetic from real label distributions.

    `jensen_shannon` is in bits (0 to 1), `kl` is KL(synthetic || real) in nats over smoothed counts.
    """

    shares: dict[str, Share]
    total_variation: float
    jensen_shannon: float
    kl: float
    not_judged: tuple[str, ...]
    n_real: int
    n_synthetic: int

    def as_dict(self) -> dict[str, Any]:
        """The shape of "labels" in metrics.json."""
        return dataclasses.asdict(self)


def present(logits: NDArray[np.float32], thresholds: Mapping[str, float]) -> Bool:
    """Which findings [n, 14] pass their threshold; one without a threshold never does."""
    if not np.isfinite(logits).all():
        raise DataError("the judge gives logits that are not finite; export or train it again")
    return predictions.present(predictions.probabilities(logits), thresholds)


def compare(
    *,
    real: Bool,
    synthetic: Bool,
    real_patients: NDArray[np.object_],
    not_judged: Collection[str],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> LabelShift:
    """Compare the findings bool [n, 14] of real films with those of synthetic images [m, 14]."""
    rows = {"real": categories(real, not_judged), "synthetic": categories(synthetic, not_judged)}
    draws = _real_draws(rows["real"], real_patients, n_bootstrap, rng)
    shares = {}
    for column, name in enumerate((NO_FINDING, *FINDINGS)):
        held, made = (rows[kind][:, column].mean().item() for kind in ("real", "synthetic"))
        shares[name] = Share(
            real=held,
            real_interval=_real_interval(held, draws[:, column], len(set(real_patients))),
            synthetic=made,
            synthetic_interval=bootstrap.wilson(rows["synthetic"][:, column].sum().item(), len(synthetic)),
            ratio=made / held if held > 0 else None,
            ratio_interval=_ratio_interval(draws[:, column], made, len(synthetic), rng) if held > 0 else None,
            n_real_positive=int(rows["real"][:, column].sum()),
            judged=name not in not_judged,
        )
    judged = np.array([share.judged for share in shares.values()])
    counts = {kind: flags[:, judged].sum(axis=0).astype(np.float64) for kind, flags in rows.items()}
    return LabelShift(
        shares=shares,
        total_variation=total_variation(**counts),
        jensen_shannon=jensen_shannon(**counts),
        kl=kullback_leibler(**counts),
        not_judged=tuple(finding for finding in FINDINGS if finding in not_judged),
        n_real=len(real),
        n_synthetic=len(synthetic),
    )


def categories(findings: Bool, not_judged: Collection[str] = ()) -> Bool:
    """Bool [n, 15] of findings [n, 14]: first "No Finding" (no judged finding is present), then the findings."""
    judged = np.array([finding not in not_judged for finding in FINDINGS])
    none = ~findings[:, judged].any(axis=1, keepdims=True)
    return np.concatenate([none, findings], axis=1)


def total_variation(*, real: Float64, synthetic: Float64) -> float:
    """Half the summed difference of two label distributions given as counts [k]: 0 equal, 1 disjoint."""
    return float(np.abs(synthetic / synthetic.sum() - real / real.sum()).sum() / 2)


def jensen_shannon(*, real: Float64, synthetic: Float64) -> float:
    """Jensen-Shannon divergence in bits of two label distributions given as counts [k]: 0 equal, 1 disjoint."""
    p, q = synthetic / synthetic.sum(), real / real.sum()
    return max(0.0, (_relative_entropy(p, (p + q) / 2) + _relative_entropy(q, (p + q) / 2)) / (2 * math.log(2)))


def kullback_leibler(*, real: Float64, synthetic: Float64) -> float:
    """KL(synthetic || real) in nats of counts [k], half a count added to every bin so that none is empty."""
    p, q = synthetic + PSEUDO_COUNT, real + PSEUDO_COUNT
    return max(_relative_entropy(p / p.sum(), q / q.sum()), 0.0)


def _relative_entropy(p: Float64, q: Float64) -> float:
    held = p > 0
    return float((p[held] * np.log(p[held] / q[held])).sum())


def _real_draws(rows: Bool, patients: NDArray[np.object_], n_bootstrap: int, rng: np.random.Generator) -> Float64:
    """The shares [n_bootstrap, k] of resampled patients' films."""
    draws = np.empty((n_bootstrap, rows.shape[1]))
    for draw in draws:
        weights = bootstrap.patient_weights(patients, rng)
        draw[:] = weights @ rows / weights.sum()
    return draws


def _real_interval(share: float, draws: Float64, n_patients: int) -> Interval:
    """Over resampled patients, or Wilson's over patients where all films agree and no resample differs."""
    return bootstrap.wilson(share * n_patients, n_patients) if share in (0, 1) else bootstrap.percentile(draws)


def _ratio_interval(draws: Float64, made: float, n: int, rng: np.random.Generator) -> Interval | None:
    """Of the share among resampled images over that among resampled films, where there is any film with it.

    Where all images agree and no resample differs: Wilson's edges over the films' own.
    """
    images = rng.binomial(n, made, size=len(draws)) / n
    held = draws[draws > 0]
    if not len(held):
        return None
    if made in (0, 1):
        (low, high), (least, most) = bootstrap.wilson(made * n, n), bootstrap.percentile(held)
        return low / most, high / least
    return bootstrap.percentile(images[draws > 0] / held)
