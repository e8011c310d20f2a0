"""Measures the utility of synthetic images: the AUROC on real test films of classifiers that were trained on them.

Four arms are compared: real films, as many synthetic images, the real films twice, and real films with synthetic
images. A training set of twice the size means a longer training. So the gain from synthetic images is the difference
from the real films twice, not from the real films alone. All arms share the resamples of patients, which gives the
differences their own intervals.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.findings import FINDINGS
from synthcxr.evaluation.metrics import auroc, bootstrap
from synthcxr.evaluation.metrics.bootstrap import Interval

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

REAL, SYNTHETIC, REAL_TWICE, REAL_AND_SYNTHETIC = ARMS = (
    "real only",
    "synthetic only",
    "real twice",
    "real + synthetic",
)
DIFFERENCES = ((SYNTHETIC, REAL), (REAL_TWICE, REAL), (REAL_AND_SYNTHETIC, REAL_TWICE))
MEAN = "mean"


@dataclasses.dataclass(frozen=True)
class ArmAuroc:
    """The mean AUROC over the seeds of training, its interval over patients, and the AUROC of each seed."""

    value: float
    interval: Interval
    by_seed: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Arm:
    """One arm: its number of training images, and its AUROC (`ranks`) by finding and as the mean over them, `MEAN`."""

    n_images: int
    ranks: dict[str, ArmAuroc]


@dataclasses.dataclass(frozen=True)
class Difference:
    """The difference between the mean AUROCs of two arms, with its interval over the same resamples of patients."""

    value: float
    interval: Interval


@dataclasses.dataclass(frozen=True)
class Utility:
    """All arms on the same `n_test` films of `n_patients`, over the findings `over` with `n_positive` films each."""

    arms: dict[str, Arm]
    differences: dict[str, Difference]
    over: tuple[str, ...]
    n_positive: dict[str, int]
    n_test: int
    n_patients: int
    n_bootstrap: int

    def as_dict(self) -> dict[str, Any]:
        """The content of utility.json."""
        return dataclasses.asdict(self)


def arrange_arms(n: int) -> dict[str, NDArray[np.int64]]:
    """The training images of each arm, as indices into `n` real films followed by `n` synthetic images."""
    real, synthetic = np.arange(n), np.arange(n, 2 * n)
    parts = {REAL: [real], SYNTHETIC: [synthetic], REAL_TWICE: [real, real], REAL_AND_SYNTHETIC: [real, synthetic]}
    return {arm: np.concatenate(indices) for arm, indices in parts.items()}


def compare_arms(
    scores: Mapping[str, Sequence[Float32]],
    *,
    n_images: Mapping[str, int],
    findings: Float32,
    patients: NDArray[np.object_],
    n_bootstrap: int,
    seed: int,
) -> Utility:
    """Compare the arms by their scores [n, 14] on the test films, one array for each seed of training.

    Includes the findings with at least three positives and three negatives; an unknown label is NaN and is ignored.
    """
    over = auroc.select_rankable_findings(findings)
    columns = [FINDINGS.index(finding) for finding in over]
    aurocs = {
        arm: _bootstrap_aurocs(by_seed, columns, findings, patients, n_bootstrap, seed)
        for arm, by_seed in scores.items()
    }
    arms = {
        arm: Arm(n_images[arm], {name: _summarise(values[k], draws[k]) for k, name in enumerate((*over, MEAN))})
        for arm, (values, draws) in aurocs.items()
    }
    means = {arm: (values[-1].mean(), draws[-1].mean(axis=0)) for arm, (values, draws) in aurocs.items()}
    return Utility(
        arms=arms,
        differences={
            f"{one} - {other}": Difference(
                value=float(means[one][0] - means[other][0]),
                interval=_compute_interval(means[one][1] - means[other][1]),
            )
            for one, other in DIFFERENCES
        },
        over=over,
        n_positive={name: int((findings[:, i] == 1).sum()) for name, i in zip(over, columns, strict=True)},
        n_test=len(findings),
        n_patients=len(set(patients)),
        n_bootstrap=n_bootstrap,
    )


def _bootstrap_aurocs(
    scores: Sequence[Float32],
    columns: Sequence[int],
    findings: Float32,
    patients: NDArray[np.object_],
    n_bootstrap: int,
    seed: int,
) -> tuple[Float64, Float64]:
    """AUROC [findings + 1, seeds], and the same in each resample [findings + 1, seeds, B]; the last row is the mean."""
    results = [
        [
            auroc.bootstrap_auroc(
                scores=seed_scores[:, column],
                truth=findings[:, column],
                patients=patients,
                n_bootstrap=n_bootstrap,
                rng=np.random.default_rng(seed),  # the same resamples for every finding, seed and arm
            )
            for seed_scores in scores
        ]
        for column in columns
    ]
    values = np.array([[value for value, _ in row] for row in results])
    draws = np.array([[finding_draws for _, finding_draws in row] for row in results])
    return (
        np.concatenate([values, values.mean(axis=0, keepdims=True)]),
        np.concatenate([draws, draws.mean(axis=0, keepdims=True)]),  # NaN if a finding is undefined in a resample
    )


def _summarise(values: Float64, draws: Float64) -> ArmAuroc:
    return ArmAuroc(float(values.mean()), _compute_interval(draws.mean(axis=0)), tuple(map(float, values)))


def _compute_interval(draws: Float64) -> Interval:
    """The interval over the resamples in which every finding has a positive and a negative."""
    return bootstrap.percentile_interval(draws[np.isfinite(draws)])
