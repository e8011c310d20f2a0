"""Calibration: what is known to be wrong with probabilities is found and put right, and no decision changes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from synthcxr.data.findings import FINDINGS
from synthcxr.evaluation.metrics import calibration
from synthcxr.model_files import predictions


def films(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True logits, and findings drawn from them."""
    rng = np.random.default_rng(seed)
    true = rng.normal(-1.0, 1.5, (n, len(FINDINGS)))
    return true, (rng.random(true.shape) < special.expit(true)).astype(np.float32)


def test_a_network_that_is_too_sure_is_found_out() -> None:
    """Logits of three times the truth, and one finding shifted, are put right to within their sampling error."""
    true, findings = films(4000)
    shift = np.zeros(14)
    shift[4] = 1.0
    found = calibration.fit(logits=3 * (true - shift), findings=findings)
    assert found.temperature == pytest.approx(3, rel=0.05)
    assert found.shift[FINDINGS[4]] == pytest.approx(1.0, abs=0.15)
    assert max(abs(by) for name, by in found.shift.items() if name != FINDINGS[4]) < 0.15
    probabilities = predictions.calibrated(special.expit(3 * (true - shift)), found.as_dict())
    assert np.abs(probabilities - special.expit(true)).max() < 0.05


def test_the_unknown_and_the_few_say_nothing() -> None:
    """Unknown findings count for nothing; a finding without a positive stays finite; few films change nothing."""
    true, findings = films(400)
    hidden = findings.copy()
    hidden[:, 0] = np.nan
    found = calibration.fit(logits=true, findings=hidden)
    assert found.shift[FINDINGS[0]] == 0 and found.temperature == pytest.approx(1, abs=0.15)
    findings[:, 3] = 0
    assert -6 < calibration.fit(logits=true, findings=findings).shift[FINDINGS[3]] < 0
    few = calibration.fit(logits=true[:20] * 9, findings=findings[:20])
    assert (few.temperature, set(few.shift.values()), few.n_films) == (1.0, {0.0}, 20)


def test_it_is_monotone_and_absent_it_changes_nothing() -> None:
    """The order within a finding stays, so a threshold moved along decides alike; no calibration is the identity."""
    true, findings = films(200)
    found = calibration.fit(logits=2 * true, findings=findings).as_dict()
    probabilities = special.expit(2 * true)
    after = predictions.calibrated(probabilities, found)
    assert (np.argsort(after, axis=0) == np.argsort(probabilities, axis=0)).all()
    assert np.array_equal(predictions.calibrated(probabilities, {}), probabilities)
