"""Probabilities that mean what they say: a temperature and a shift for each finding, fitted on val films.

Temperature scaling (Guo et al., arXiv 1706.04599), with a bias a finding: networks are too sure, and a finding's share
differs between films. Both are monotone, so that no threshold decides otherwise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from synthcxr.data.findings import FINDINGS
from synthcxr.model_files.predictions import Calibration

Float64 = NDArray[np.float64]

PRIOR_SD = 0.25
"""How far from 0 shifts and the temperature's logarithm are expected: a finding with few positives stays near it."""
MIN_FILMS = 30


def fit(*, logits: NDArray[np.floating], findings: NDArray[np.floating]) -> Calibration:
    """The most probable temperature and shifts given logits and known findings [n, 14] (unknown is NaN).

    Fewer than 30 films change nothing.
    """
    if len(logits) < MIN_FILMS:
        return Calibration(temperature=1.0, shift=dict.fromkeys(FINDINGS, 0.0), n_films=len(logits))
    known = ~np.isnan(findings)
    held, truth = logits.astype(np.float64), np.where(known, findings, 0.0)

    def cost(parameters: Float64) -> tuple[float, Float64]:
        slope, shift = np.exp(parameters[0]), parameters[1:]
        scaled = slope * held + shift
        loss = np.where(known, np.logaddexp(0.0, scaled) - truth * scaled, 0.0).sum()
        wrong = np.where(known, special.expit(scaled) - truth, 0.0)
        gradient = np.concatenate([[(wrong * held).sum() * slope], wrong.sum(axis=0)])
        return float(loss + (parameters**2).sum() / (2 * PRIOR_SD**2)), gradient + parameters / PRIOR_SD**2

    found = optimize.minimize(cost, np.zeros(1 + len(FINDINGS)), jac=True, method="L-BFGS-B").x
    shifts = {finding: round(float(by), 6) for finding, by in zip(FINDINGS, found[1:], strict=True)}
    return Calibration(temperature=round(float(np.exp(-found[0])), 6), shift=shifts, n_films=len(logits))
