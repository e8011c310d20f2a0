"""What synthetic images are good for: a classifier that learned from them, tried on real films of held-out patients.

Four trainings are compared: real films, as many synthetic images, the real films twice, and both together. A set
twice as large is a longer training, so what synthetic images add is read against the real films twice, never against
the real films alone. One draw of patients serves all of them, so that differences have intervals of their own.
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

REAL, SYNTHETIC, TWICE, BOTH = "real only", "synthetic only", "real twice", "real + synthetic"
ARMS = (REAL, SYNTHETIC, TWICE, BOTH)
DIFFERENCES = ((SYNTHETIC, REAL), (TWICE, REAL), (BOTH, TWICE))
MEAN = "mean"


@dataclasses.dataclass(frozen=True)
class Rank:
    """AUROC, the mean over trainings of several seeds, with its interval over patients and each seed's own value."""

    value: float
    interval: Interval
    by_seed: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Arm:
    """One kind of training: how many images it saw, and its ranks by finding and over the findings, `MEAN`."""

    n_images: int
    ranks: dict[str, Rank]


@dataclasses.dataclass(frozen=True)
class Difference:
    """Mean AUROC of one arm less that of another, with its interval over the same resamples of patients."""

    value: float
    interval: Interval


@dataclasses.dataclass(frozen=True)
class Utility:
    """All arms on the same `n_test` films of `n_patients`, over the findings `over`; `n_positive` of each."""

    arms: dict[str, Arm]
    differences: dict[str, Difference]
    over: tuple[str, ...]
    n_positive: dict[str, int]
    n_test: int
    n_patients: int
    n_bootstrap: int

    def as_dict(self) -> dict[str, Any]:
        """The shape of utility.json."""
        return dataclasses.asdict(self)


def arrange(n: int) -> dict[str, NDArray[np.int64]]:
    """What each arm learns from, as positions among `n` real films followed by `n` synthetic images."""
    real, synthetic = np.arange(n), np.arange(n, 2 * n)
    parts = {REAL: [real], SYNTHETIC: [synthetic], TWICE: [real, real], BOTH: [real, synthetic]}
    return {arm: np.concatenate(held) for arm, held in parts.items()}


def compare(
    scores: Mapping[str, Sequence[Float32]],
    *,
    n_images: Mapping[str, int],
    findings: Float32,
    patients: NDArray[np.object_],
    n_bootstrap: int,
    seed: int,
) -> Utility:
    """Rank test films [n, 14] by each arm's scores [n, 14], one array a seed of training.

    The findings compared are those with three positives and negatives or more; NaN is unknown and left out.
    """
    over = auroc.ranked(findings)
    columns = [FINDINGS.index(finding) for finding in over]
    held = {arm: _draws(each, columns, findings, patients, n_bootstrap, seed) for arm, each in scores.items()}
    arms = {
        arm: Arm(n_images[arm], {name: _rank(values[k], draws[k]) for k, name in enumerate((*over, MEAN))})
        for arm, (values, draws) in held.items()
    }
    means = {arm: (values[-1].mean(), draws[-1].mean(axis=0)) for arm, (values, draws) in held.items()}
    return Utility(
        arms=arms,
        differences={
            f"{one} - {other}": Difference(
                float(means[one][0] - means[other][0]), _percentile(means[one][1] - means[other][1])
            )
            for one, other in DIFFERENCES
        },
        over=over,
        n_positive={name: int((findings[:, at] == 1).sum()) for name, at in zip(over, columns, strict=True)},
        n_test=len(findings),
        n_patients=len(set(patients)),
        n_bootstrap=n_bootstrap,
    )


def _draws(
    scores: Sequence[Float32],
    columns: Sequence[int],
    findings: Float32,
    patients: NDArray[np.object_],
    n_bootstrap: int,
    seed: int,
) -> tuple[Float64, Float64]:
    """AUROC [findings + 1, seeds] and the same in each resample [findings + 1, seeds, B]; the last row is the mean."""
    found = [
        [
            auroc.auroc_draws(
                scores=each[:, at],
                truth=findings[:, at],
                patients=patients,
                n_bootstrap=n_bootstrap,
                rng=np.random.default_rng(seed),  # the same resamples for every finding, seed and arm
            )
            for each in scores
        ]
        for at in columns
    ]
    values = np.array([[value for value, _ in row] for row in found])
    draws = np.array([[each for _, each in row] for row in found])
    return (
        np.concatenate([values, values.mean(axis=0, keepdims=True)]),
        np.concatenate([draws, draws.mean(axis=0, keepdims=True)]),  # NaN where a finding has no rank
    )


def _rank(values: Float64, draws: Float64) -> Rank:
    return Rank(float(values.mean()), _percentile(draws.mean(axis=0)), tuple(map(float, values)))


def _percentile(draws: Float64) -> Interval:
    """The interval over the resamples in which every finding had both kinds of film."""
    return bootstrap.percentile(draws[np.isfinite(draws)])
