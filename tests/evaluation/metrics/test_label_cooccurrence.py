from __future__ import annotations

import numpy as np
import pytest

from synthcxr.data.findings import FINDINGS
from synthcxr.evaluation.metrics import label_cooccurrence

ALL_FINDINGS = np.ones(len(FINDINGS), dtype=bool)


def make_findings(n: int, *, seed: int, together: bool) -> np.ndarray:
    """Six findings with a prevalence of one fifth, of which the first two occur always or never together."""
    rng = np.random.default_rng(seed)
    findings = np.zeros((n, len(FINDINGS)), dtype=bool)
    findings[:, :6] = rng.random((n, 6)) < 0.2
    findings[:, 1] = findings[:, 0] if together else findings[:, 1] & ~findings[:, 0]
    return findings


def test_pair_shares_count_rows_with_both_findings() -> None:
    """The diagonal holds the share of each finding, the other cells the share of rows with both."""
    findings = make_findings(500, seed=1, together=True)
    shares = label_cooccurrence.pair_shares(findings)
    np.testing.assert_allclose(np.diag(shares), findings.mean(axis=0))
    assert shares[0, 1] == shares[1, 0] == pytest.approx((findings[:, 0] & findings[:, 1]).mean())


def test_findings_that_no_longer_occur_together_change_the_figures() -> None:
    """Two findings that always occur together in films, but never in images, lower the correlation."""
    real = make_findings(2000, seed=1, together=True)
    similar = label_cooccurrence.compare_cooccurrence(
        real=real, synthetic=make_findings(2000, seed=2, together=True), judged=ALL_FINDINGS
    )
    different = label_cooccurrence.compare_cooccurrence(
        real=real, synthetic=make_findings(2000, seed=3, together=False), judged=ALL_FINDINGS
    )
    assert similar.correlation is not None
    assert different.correlation is not None
    assert similar.correlation > 0.95 > 0.6 > different.correlation
    assert different.difference > 3 * similar.difference


def test_only_judged_findings_count() -> None:
    """One judged finding gives no pair, so there is no difference and no correlation."""
    only_first = np.arange(len(FINDINGS)) == 0
    comparison = label_cooccurrence.compare_cooccurrence(
        real=make_findings(200, seed=1, together=True),
        synthetic=make_findings(200, seed=3, together=False),
        judged=only_first,
    )
    assert (comparison.difference, comparison.correlation) == (0.0, None)
