"""Whether two label distributions differ by more than chance, and by how much: a permutation test and Cramer's V.

Labels of one image, and films of one patient, belong together, which a chi-squared test would take for independent.
So patients and images are exchanged whole.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from synthcxr.evaluation.metrics.label_distribution import Bool

Float64 = NDArray[np.float64]

N_PERMUTATIONS = 999
SMALL, MEDIUM = 0.1, 0.3  # Cohen's words for Cramer's V of a table of two rows
_CHUNK = 2_000_000


@dataclasses.dataclass(frozen=True)
class LabelTest:
    """`p_value` of the total variation under exchanged patients and images, and the size of the effect.

    `cramers_v` is 0 for equal distributions and 1 for disjoint ones; `effect` says it in a word.
    """

    p_value: float
    cramers_v: float
    effect: str
    n_permutations: int


def permutation(
    *,
    real: Bool,
    synthetic: Bool,
    real_patients: NDArray[np.object_],
    rng: np.random.Generator,
    n_permutations: int = N_PERMUTATIONS,
) -> LabelTest:
    """Test the label rows bool [n, k] of real films against those [m, k] of images."""
    _, codes = np.unique(np.asarray(real_patients, dtype=str), return_inverse=True)
    of_patients = np.zeros((codes.max() + 1, real.shape[1]))
    np.add.at(of_patients, codes, real)
    units = np.concatenate([of_patients, synthetic.astype(np.float64)])
    is_real = np.arange(len(units)) < len(of_patients)
    found = _total_variation(is_real[None].astype(np.float64), units)[0]
    beyond, step = 0, max(1, _CHUNK // len(units))
    for start in range(0, n_permutations, step):
        n = min(step, n_permutations - start)
        drawn = rng.permuted(np.tile(is_real, (n, 1)), axis=1).astype(np.float64)
        beyond += int((_total_variation(drawn, units) >= found - 1e-12).sum())
    effect = cramers_v(np.stack([real.sum(axis=0), synthetic.sum(axis=0)]).astype(np.float64))
    word = "negligible" if effect < SMALL else "small" if effect < MEDIUM else "large"
    return LabelTest((1 + beyond) / (1 + n_permutations), effect, word, n_permutations)


def cramers_v(table: Float64) -> float:
    """Cramer's V of a table of counts [2, k]; columns that are empty on both sides say nothing."""
    held = table[:, table.sum(axis=0) > 0]
    expected = held.sum(axis=1, keepdims=True) * held.sum(axis=0) / held.sum()
    chi_squared = ((held - expected) ** 2 / expected).sum()
    return float(np.sqrt(chi_squared / held.sum())) if held.shape[1] > 1 else 0.0


def _total_variation(is_real: Float64, units: Float64) -> Float64:
    """Of each row of memberships [b, units], the total variation between the labels of the two sides."""
    sides = []
    for member in (is_real, 1 - is_real):
        counts = member @ units
        sides.append(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    return np.asarray(np.abs(sides[0] - sides[1]).sum(axis=1) / 2)
