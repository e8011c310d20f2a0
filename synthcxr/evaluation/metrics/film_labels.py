"""What films teach about labels: how well the judge separates them, and which findings occur together.

These are numbers without pixels or names, so that a model can carry them to where there are no films.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcxr.data.findings import FINDINGS
from synthcxr.evaluation.metrics import cofindings, label_validity
from synthcxr.evaluation.metrics.label_validity import LabelledScores, Separation

N_QUANTILES = 200
_N_FINDINGS = len(FINDINGS)
_KINDS = ("validity", "specificity")
_PAIRS, _N = "film_label_pairs", "film_label_n"


@dataclasses.dataclass(frozen=True)
class FilmLabels:
    """The judge's separation of `n` films by their labels, and the number of films with both of two findings [14, 14].

    A film without any known label does not count.
    """

    validity: Separation
    specificity: Separation
    pair_counts: NDArray[np.int64]
    n: int

    @classmethod
    def measure(
        cls,
        *,
        logits: NDArray[np.floating],
        labels: NDArray[np.floating],
        patients: NDArray[np.object_],
        n_bootstrap: int,
        rng: np.random.Generator,
    ) -> FilmLabels:
        """Measure films by the judge's logits [n, 14] and their labels [n, 14]; intervals resample patients."""
        labelled = LabelledScores.from_labels(logits, labels, patients)
        validity, specificity = label_validity.measure_separation(labelled, n_bootstrap=n_bootstrap, rng=rng)
        n_known = int((~np.isnan(np.asarray(labels, np.float64))).any(axis=1).sum())
        return cls(validity, specificity, cofindings.count_pairs(labels), n_known)

    def to_arrays(self) -> dict[str, ArrayLike]:
        """The arrays of an .npz file; resamples become N_QUANTILES quantiles."""
        arrays: dict[str, ArrayLike] = {_PAIRS: self.pair_counts, _N: np.int64(self.n)}
        levels = (np.arange(N_QUANTILES) + 0.5) / N_QUANTILES
        for kind, separation in zip(_KINDS, (self.validity, self.specificity), strict=True):
            draws = [row[np.isfinite(row)] for row in separation.draws]
            quantiles = [np.quantile(row, levels) if len(row) else np.full(N_QUANTILES, np.nan) for row in draws]
            arrays[f"{kind}_auroc"] = separation.auroc
            arrays[f"{kind}_auroc_quantiles"] = np.array(quantiles, np.float32)
            arrays[f"{kind}_n"] = np.stack([separation.n_positive, separation.n_negative])
        return arrays

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[np.generic]], *, n_bootstrap: int, rng: np.random.Generator
    ) -> FilmLabels | None:
        """From the arrays of `to_arrays`, with resamples drawn from the quantiles; None where the file has none.

        Raises ValueError or KeyError for arrays of another shape.
        """
        if _PAIRS not in arrays:
            return None
        validity, specificity = (_read_separation(arrays, kind, n_bootstrap, rng) for kind in _KINDS)
        pair_counts = np.asarray(arrays[_PAIRS]).astype(np.int64).reshape(_N_FINDINGS, _N_FINDINGS)
        return cls(validity, specificity, pair_counts, int(arrays[_N].astype(np.int64)))


def _read_separation(
    arrays: Mapping[str, NDArray[np.generic]], kind: str, n_bootstrap: int, rng: np.random.Generator
) -> Separation:
    quantiles = np.asarray(arrays[f"{kind}_auroc_quantiles"]).astype(np.float64).reshape(_N_FINDINGS, -1)
    n_positive, n_negative = np.asarray(arrays[f"{kind}_n"]).astype(np.int64).reshape(2, _N_FINDINGS)
    return Separation(
        auroc=np.asarray(arrays[f"{kind}_auroc"]).astype(np.float64).reshape(_N_FINDINGS),
        draws=rng.permuted(quantiles, axis=1)[:, np.arange(n_bootstrap) % quantiles.shape[1]],
        n_positive=n_positive,
        n_negative=n_negative,
        n_undistinguished=np.zeros(_N_FINDINGS, np.int64),
    )
