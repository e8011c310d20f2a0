"""Calibration of a classifier's probabilities: one temperature, and a shift for each finding, fitted on val films.

Temperature scaling (Guo et al., arXiv 1706.04599) with a bias for each finding. Networks are overconfident, and the
prevalence of a finding differs between sets of films. Both corrections are monotone, so a calibrated threshold makes
the same decisions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from synthcxr.data.findings import FINDINGS
from synthcxr.data.minimum_films import MIN_FILMS_FOR_CALIBRATION
from synthcxr.model_files.predictions import Calibration

Float64 = NDArray[np.float64]

PRIOR_SD = 0.25
"""Prior standard deviation of the shifts and of the log temperature; keeps a finding with few positives near 0."""


def fit_calibration(*, logits: NDArray[np.floating], findings: NDArray[np.floating]) -> Calibration:
    """Fit the most probable temperature and shifts to logits and findings [n, 14] (unknown is NaN).

    With fewer than 30 films the calibration is the identity.
    """
    if len(logits) < MIN_FILMS_FOR_CALIBRATION:
        return Calibration(temperature=1.0, shift=dict.fromkeys(FINDINGS, 0.0), n_films=len(logits))
    known = ~np.isnan(findings)
    values, truth = logits.astype(np.float64), np.where(known, findings, 0.0)

    def cost(parameters: Float64) -> tuple[float, Float64]:
        slope, shift = np.exp(parameters[0]), parameters[1:]
        scaled = slope * values + shift
        loss = np.where(known, np.logaddexp(0.0, scaled) - truth * scaled, 0.0).sum()
        residuals = np.where(known, special.expit(scaled) - truth, 0.0)
        gradient = np.concatenate([[(residuals * values).sum() * slope], residuals.sum(axis=0)])
        return float(loss + (parameters**2).sum() / (2 * PRIOR_SD**2)), gradient + parameters / PRIOR_SD**2

    solution = optimize.minimize(cost, np.zeros(1 + len(FINDINGS)), jac=True, method="L-BFGS-B").x
    shifts = {finding: round(float(shift), 6) for finding, shift in zip(FINDINGS, solution[1:], strict=True)}
    return Calibration(temperature=round(float(np.exp(-solution[0])), 6), shift=shifts, n_films=len(logits))
