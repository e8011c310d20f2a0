"""Tests whether two label distributions differ by more than chance (permutation test) and how much (Cramer's V).

The labels of one image, and the films of one patient, are not independent, as a chi-squared test assumes. So the test
permutes whole patients and whole images.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from synthcxr.evaluation.metrics.label_distribution import Bool
from synthcxr.storage.progress import track

Float64 = NDArray[np.float64]

N_PERMUTATIONS = 999
SMALL_EFFECT, MEDIUM_EFFECT = 0.1, 0.3  # Cohen's limits for Cramer's V of a table with two rows
_CHUNK = 2_000_000


@dataclasses.dataclass(frozen=True)
class PermutationTest:
    """The `p_value` of the total variation under permutation, and the effect size.

    `cramers_v` is 0 for equal distributions and 1 for disjoint ones. `effect` is "negligible", "small" or "large".
    """

    p_value: float
    cramers_v: float
    effect: str
    n_permutations: int


def permutation_test(
    *,
    real: Bool,
    synthetic: Bool,
    real_patients: NDArray[np.object_],
    rng: np.random.Generator,
    n_permutations: int = N_PERMUTATIONS,
) -> PermutationTest:
    """Test the label rows bool [n, k] of real films against those [m, k] of images."""
    _, codes = np.unique(np.asarray(real_patients, dtype=str), return_inverse=True)
    labels_by_patient = np.zeros((codes.max() + 1, real.shape[1]))
    np.add.at(labels_by_patient, codes, real)
    units = np.concatenate([labels_by_patient, synthetic.astype(np.float64)])
    is_real = np.arange(len(units)) < len(labels_by_patient)
    observed = _total_variation(is_real[None].astype(np.float64), units)[0]
    n_as_extreme, step = 0, max(1, _CHUNK // len(units))
    for start in track(range(0, n_permutations, step), "permutations of labels", unit="blocks"):
        n = min(step, n_permutations - start)
        permuted = rng.permuted(np.tile(is_real, (n, 1)), axis=1).astype(np.float64)
        n_as_extreme += int((_total_variation(permuted, units) >= observed - 1e-12).sum())
    effect_size = cramers_v(np.stack([real.sum(axis=0), synthetic.sum(axis=0)]).astype(np.float64))
    effect = "negligible" if effect_size < SMALL_EFFECT else "small" if effect_size < MEDIUM_EFFECT else "large"
    return PermutationTest((1 + n_as_extreme) / (1 + n_permutations), effect_size, effect, n_permutations)


def cramers_v(table: Float64) -> float:
    """Cramer's V of a table of counts [2, k]; columns that are empty on both sides are ignored."""
    counts = table[:, table.sum(axis=0) > 0]
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    return float(np.sqrt(chi_squared / counts.sum())) if counts.shape[1] > 1 else 0.0


def _total_variation(is_real: Float64, units: Float64) -> Float64:
    """The total variation [b] between the labels of the two sides, for each assignment of units in [b, units]."""
    distributions = []
    for membership in (is_real, 1 - is_real):
        counts = membership @ units
        distributions.append(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    return np.asarray(np.abs(distributions[0] - distributions[1]).sum(axis=1) / 2)
