"""Calibration corrects known errors of probabilities and changes no decision."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from synthcxr.data.findings import FINDINGS
from synthcxr.evaluation.metrics import calibration
from synthcxr.model_files import predictions


def make_films(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True logits, and findings drawn from them."""
    rng = np.random.default_rng(seed)
    true_logits = rng.normal(-1.0, 1.5, (n, len(FINDINGS)))
    return true_logits, (rng.random(true_logits.shape) < special.expit(true_logits)).astype(np.float32)


def test_overconfidence_and_a_shift_are_corrected() -> None:
    """Logits of three times the truth, and a shift of one finding, are corrected to within their sampling error."""
    true_logits, findings = make_films(4000)
    shift = np.zeros(14)
    shift[4] = 1.0
    logits = 3 * (true_logits - shift)
    fitted = calibration.fit_calibration(logits=logits, findings=findings)
    assert fitted.temperature == pytest.approx(3, rel=0.05)
    assert fitted.shift[FINDINGS[4]] == pytest.approx(1.0, abs=0.15)
    assert max(abs(value) for name, value in fitted.shift.items() if name != FINDINGS[4]) < 0.15
    probabilities = predictions.calibrate(special.expit(logits), fitted.as_dict())
    assert np.abs(probabilities - special.expit(true_logits)).max() < 0.05


def test_unknown_findings_and_few_films_have_no_effect() -> None:
    """Unknown findings have no effect, a finding without a positive has a finite shift, few films change nothing."""
    true_logits, findings = make_films(400)
    unknown = findings.copy()
    unknown[:, 0] = np.nan
    fitted = calibration.fit_calibration(logits=true_logits, findings=unknown)
    assert fitted.shift[FINDINGS[0]] == 0 and fitted.temperature == pytest.approx(1, abs=0.15)
    findings[:, 3] = 0
    assert -6 < calibration.fit_calibration(logits=true_logits, findings=findings).shift[FINDINGS[3]] < 0
    identity = calibration.fit_calibration(logits=true_logits[:20] * 9, findings=findings[:20])
    assert (identity.temperature, set(identity.shift.values()), identity.n_films) == (1.0, {0.0}, 20)


def test_calibration_is_monotone_and_an_empty_one_is_the_identity() -> None:
    """The order within a finding is kept, so a calibrated threshold makes the same decisions."""
    true_logits, findings = make_films(200)
    fitted = calibration.fit_calibration(logits=2 * true_logits, findings=findings).as_dict()
    probabilities = special.expit(2 * true_logits)
    calibrated = predictions.calibrate(probabilities, fitted)
    assert (np.argsort(calibrated, axis=0) == np.argsort(probabilities, axis=0)).all()
    assert np.array_equal(predictions.calibrate(probabilities, {}), probabilities)
