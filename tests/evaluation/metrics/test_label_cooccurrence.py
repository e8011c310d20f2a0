from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synthcxr.data.findings import FINDINGS
from synthcxr.evaluation.metrics import label_cooccurrence

ALL = np.ones(len(FINDINGS), dtype=bool)


def findings(n: int, *, seed: int, together: bool) -> np.ndarray:
    """Six findings of a fifth each, the first two always or never together."""
    rng = np.random.default_rng(seed)
    held = np.zeros((n, len(FINDINGS)), dtype=bool)
    held[:, :6] = rng.random((n, 6)) < 0.2
    held[:, 1] = held[:, 0] if together else held[:, 1] & ~held[:, 0]
    return held


def test_shares_are_counts_of_both() -> None:
    """The diagonal is the share of each finding, and off it that of rows with both."""
    held = findings(500, seed=1, together=True)
    found = label_cooccurrence.shares(held)
    np.testing.assert_allclose(np.diag(found), held.mean(axis=0))
    assert found[0, 1] == found[1, 0] == pytest.approx((held[:, 0] & held[:, 1]).mean())


def test_findings_that_part_company_show() -> None:
    """Equal shares of single findings, but two that always come together never do: the figures tell."""
    real, alike, apart = (findings(2000, seed=s, together=t) for s, t in ((1, True), (2, True), (3, False)))
    near = label_cooccurrence.compare(real=real, synthetic=alike, judged=ALL)
    far = label_cooccurrence.compare(real=real, synthetic=apart, judged=ALL)
    assert near.correlation is not None
    assert far.correlation is not None
    assert near.correlation > 0.95 > 0.6 > far.correlation
    assert far.difference > 3 * near.difference


def test_only_judged_findings_count() -> None:
    """With one finding judged there is no pair: nothing differs and nothing correlates."""
    one = np.arange(len(FINDINGS)) == 0
    real, apart = findings(200, seed=1, together=True), findings(200, seed=3, together=False)
    found = label_cooccurrence.compare(real=real, synthetic=apart, judged=one)
    assert (found.difference, found.correlation) == (0.0, None)


def test_the_table_holds_every_pair_once(tmp_path: Path) -> None:
    """105 rows: 14 findings alone and 91 pairs, with the shares of both sides."""
    found = label_cooccurrence.compare(
        real=findings(300, seed=1, together=True), synthetic=findings(300, seed=2, together=True), judged=ALL
    )
    label_cooccurrence.write(tmp_path / "x" / "t.csv", found)
    table = pd.read_csv(tmp_path / "x" / "t.csv")
    assert len(table) == 105
    row = table[(table["finding"] == FINDINGS[0]) & (table["with"] == FINDINGS[1])].iloc[0]
    assert (row["real"], row["synthetic"]) == pytest.approx((found.real[0, 1], found.synthetic[0, 1]), rel=1e-5)
