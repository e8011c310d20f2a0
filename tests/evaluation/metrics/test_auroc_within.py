"""How far a ranking holds within where films come from, and how far origin alone gets."""

import numpy as np
import pytest

from synthcxr.data.findings import FINDINGS
from synthcxr.evaluation.metrics import auroc

RNG = np.random.default_rng


def sample(n: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Findings [n, 14] that are common at source "a" and rare at "b", the sources, and patients of two films."""
    rng = RNG(0)
    sources = np.where(rng.random(n) < 0.5, "a", "b")
    share = np.where(sources == "a", 0.7, 0.1)[:, None]
    findings = (rng.random((n, len(FINDINGS))) < share).astype(np.float32)
    return findings, sources, np.arange(n) // 2


def within(scores: np.ndarray, findings: np.ndarray, strata: object, patients: np.ndarray) -> auroc.Estimate:
    return auroc.mean_within(
        scores=scores,
        findings=findings,
        strata=strata,  # type: ignore[arg-type]
        patients=patients,
        over=FINDINGS[:3],
        n_bootstrap=100,
        rng=RNG(1),
    )


def test_one_stratum_is_the_plain_mean() -> None:
    """Without strata it is the mean AUROC over the named findings, inside its interval."""
    findings, _, patients = sample()
    scores = RNG(2).random(findings.shape) + findings * 0.3
    found = within(scores, findings, ["all"] * len(findings), patients)
    expected = [auroc.auroc(scores=scores[:, i], truth=findings[:, i]) for i in range(3)]
    assert found.value == pytest.approx(np.mean(expected))
    assert found.low < found.value < found.high


def test_what_only_tells_sources_apart_scores_a_half_within_them() -> None:
    """Scores that are the source's share rank well over all films, and not at all within a source."""
    findings, sources, patients = sample()
    scores = auroc.by_stratum(findings=findings, strata=sources, of=sources)
    assert within(scores, findings, ["all"] * len(findings), patients).value > 0.75
    assert within(scores, findings, sources, patients).value == 0.5


def test_pairs_of_strata_are_pooled() -> None:
    """Two strata by hand: 3 of 4 pairs in the right order in one, 0 of 1 in the other, 3 of 5 together."""
    findings = np.full((6, len(FINDINGS)), np.nan, dtype=np.float32)
    findings[:, 0] = [1, 1, 0, 0, 1, 0]
    scores = np.zeros((6, len(FINDINGS)))
    scores[:, 0] = [0.9, 0.4, 0.5, 0.1, 0.2, 0.3]
    found = auroc.mean_within(
        scores=scores,
        findings=findings,
        strata=["a", "a", "a", "a", "b", "b"],
        patients=range(6),
        over=FINDINGS[:1],
        n_bootstrap=0,
        rng=RNG(0),
    )
    assert found.value == pytest.approx(3 / 5)


def test_an_unseen_stratum_gets_the_share_of_all() -> None:
    """Films of a source that was never seen are scored by the finding's share among all films."""
    findings, sources, _ = sample()
    scores = auroc.by_stratum(findings=findings, strata=sources, of=["a", "new"])
    assert scores[1] == pytest.approx((findings.sum(axis=0) + 1) / (len(findings) + 2))
    assert (scores[0] > scores[1]).all()
