"""How often the judge agrees with the classifier: on images, and for comparison on real films.

Of the images that the classifier labelled X (all of them, where X was asked for), the share that the judge calls X;
beside it the same share of real test films. Lower on images than on films: the classifier was pleased, not right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.evaluation.metrics import bootstrap
from synthcxr.evaluation.metrics.bootstrap import Interval
from synthcxr.evaluation.metrics.label_distribution import Bool

LEAST = 10


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Shares of `n_synthetic` images and `n_real` films; None where fewer than LEAST were labelled so.

    Not `judged` where the judge's threshold, or the classifier's, rests on too few val films.
    """

    synthetic: float | None
    synthetic_interval: Interval | None
    n_synthetic: int
    real: float | None
    real_interval: Interval | None
    n_real: int
    judged: bool


def compare(
    *,
    synthetic: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    real: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    real_patients: NDArray[np.object_],
    judged: bool,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> Agreement:
    """Agreement on one finding; each side is (classifier's calls [n], judge's calls [n])."""
    called, confirmed = synthetic
    n, agreed = int(called.sum()), int((called & confirmed).sum())
    called_real, confirmed_real = real
    n_real = int(called_real.sum())
    share = None if n < LEAST else agreed / n
    of_real = None if n_real < LEAST else float(confirmed_real[called_real].mean())
    return Agreement(
        synthetic=share,
        synthetic_interval=None if share is None else bootstrap.wilson(agreed, n),
        n_synthetic=n,
        real=of_real,
        real_interval=None
        if of_real is None
        else _over_patients(confirmed_real[called_real], real_patients[called_real], n_bootstrap, rng),
        n_real=n_real,
        judged=judged,
    )


def by_finding(
    *,
    names: tuple[str, ...],
    weak: Collection[str],
    synthetic: tuple[Bool, Bool],
    real: tuple[Bool, Bool],
    real_patients: NDArray[np.object_],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Agreement on each of the columns `names` of (classifier's calls, judge's calls), bool [n, k] each.

    Those of a `weak` finding are listed and not judged.
    """
    return {
        name: dataclasses.asdict(
            compare(
                synthetic=(synthetic[0][:, at], synthetic[1][:, at]),
                real=(real[0][:, at], real[1][:, at]),
                real_patients=real_patients,
                judged=name not in weak,
                n_bootstrap=n_bootstrap,
                rng=rng,
            )
        )
        for at, name in enumerate(names)
    }


def _over_patients(
    agreed: NDArray[np.bool_], patients: NDArray[np.object_], n_bootstrap: int, rng: np.random.Generator
) -> Interval:
    if agreed.all() or not agreed.any():
        n = len(set(patients))
        return bootstrap.wilson(float(agreed[0]) * n, n)
    weights = (bootstrap.patient_weights(patients, rng) for _ in range(n_bootstrap))
    return bootstrap.percentile([weight @ agreed / weight.sum() for weight in weights])
