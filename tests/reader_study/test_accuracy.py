"""Accuracy, ROC and AUC, against scikit-learn, published formulas, and simulated readers of known skill."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from synthcxr.reader_study import accuracy, intervals

CASES = [f"case{index}" for index in range(100)]
SYNTHETIC = np.arange(100) % 2 == 1


def test_one_origin_gives_no_auc() -> None:
    """With only synthetic images there is no AUC and no ROC curve."""
    confidence, synthetic = np.array([1.0, 2.0]), np.array([True, True])
    assert accuracy.estimate_reader_auc(confidence, synthetic).value is None
    assert accuracy.compute_roc(confidence, synthetic) == []


@pytest.mark.parametrize("seed", range(5))
def test_auc_and_roc_equal_scikit_learn(seed: int) -> None:
    """AUC and ROC curve of random five-level ratings with ties equal those of scikit-learn."""
    rng = np.random.default_rng(seed)
    confidence = np.clip(np.rint(rng.normal(3 + SYNTHETIC, 1.2)), 1, 5)
    estimate = accuracy.estimate_reader_auc(confidence, SYNTHETIC)
    assert estimate.value == pytest.approx(roc_auc_score(SYNTHETIC, confidence))
    points = {(round(x, 9), round(y, 9)) for x, y in accuracy.compute_roc(confidence, SYNTHETIC)}
    fpr, tpr, _ = roc_curve(SYNTHETIC, confidence, drop_intermediate=False)
    assert {(round(float(x), 9), round(float(y), 9)) for x, y in zip(fpr, tpr, strict=True)} <= points


def test_newcombe_bounds_are_196_standard_errors_away() -> None:
    """Each bound is 1.96 standard errors from the AUC.

    The standard error is that of Hanley and McNeil at the bound, with both group sizes replaced by their mean. At an
    AUC of 1 the interval still has a width.
    """
    m, n, auc = 40, 60, 0.8
    for bound in accuracy.newcombe_interval(auc, m, n):
        q1, q2, mean = bound / (2 - bound), 2 * bound**2 / (1 + bound), (m + n) / 2 - 1
        variance = (bound * (1 - bound) + mean * ((q1 - bound**2) + (q2 - bound**2))) / (m * n)
        assert abs(auc - bound) == pytest.approx(1.959963984540054 * variance**0.5, rel=1e-6)
    low, high = accuracy.newcombe_interval(1.0, 20, 20)
    assert 0.8 < low < 0.95
    assert high == 1.0


def test_perfect_readers_have_an_interval_with_a_width() -> None:
    """Three readers who are always correct get an accuracy and an AUC of 1 with a lower bound below 1."""
    pooled_accuracy = accuracy.pool_accuracy(np.ones((3, 100)), CASES, np.random.default_rng(0))
    assert pooled_accuracy is not None
    assert pooled_accuracy.value == 1.0
    assert pooled_accuracy.low == pytest.approx(intervals.estimate_proportion(100, 100).low)
    confidence = np.tile(np.where(SYNTHETIC, 5.0, 1.0), (3, 1))
    pooled_auc = accuracy.pool_auc(confidence, SYNTHETIC, CASES, np.random.default_rng(0))
    assert pooled_auc is not None
    assert pooled_auc.value == 1.0
    assert pooled_auc.low is not None
    assert 0.9 < pooled_auc.low < 1


def test_one_reader_is_not_pooled() -> None:
    """With one reader there is no estimate over readers."""
    assert accuracy.pool_accuracy(np.ones((1, 100)), CASES, np.random.default_rng(0)) is None
    assert accuracy.pool_auc(np.ones((1, 100)), SYNTHETIC, CASES, np.random.default_rng(0)) is None


def test_unread_cases_are_excluded() -> None:
    """Unread cases count neither as correct nor as wrong, in accuracy and in AUC."""
    rng = np.random.default_rng(0)
    correct = (rng.uniform(size=(3, 100)) < 0.7).astype(float)
    correct[0, 50:] = np.nan
    pooled_accuracy = accuracy.pool_accuracy(correct, CASES, rng)
    assert pooled_accuracy is not None
    assert (pooled_accuracy.n, pooled_accuracy.value) == (250, pytest.approx(np.nanmean(correct)))
    confidence = rng.integers(1, 6, (3, 100)).astype(float)
    confidence[1, :40] = np.nan
    pooled_auc = accuracy.pool_auc(confidence, SYNTHETIC, CASES, rng)
    is_read = ~np.isnan(confidence)
    aucs = [roc_auc_score(SYNTHETIC[is_read[reader]], confidence[reader, is_read[reader]]) for reader in range(3)]
    assert pooled_auc is not None
    assert pooled_auc.value == pytest.approx(np.mean(aucs))


def simulate_evidence(
    skill: float, *, reader_sd: float, case_sd: float, n_readers: int, rng: np.random.Generator
) -> np.ndarray:
    """Evidence [R, C] for the true origin: positive with probability `skill`.

    It varies between readers and between cases with these standard deviations, and within both with 1.
    """
    total_sd = np.sqrt(1 + reader_sd**2 + case_sd**2)
    reader_effect, case_effect = rng.normal(size=(n_readers, 1)), rng.normal(size=(1, 100))
    mean = norm.ppf(skill) * total_sd + reader_sd * reader_effect + case_sd * case_effect
    return np.asarray(mean + rng.normal(size=(n_readers, 100)))


def five_level_auc(separation: float, *, reader_sd: float = 0.0, case_sd: float = 0.0) -> float:
    """The true mean AUC over readers of normal evidence with mean +-`separation`, cut into five levels."""
    cuts = np.array([-np.inf, -1.2, -0.4, 0.4, 1.2, np.inf])
    total_sd = np.sqrt(1 + reader_sd**2 + case_sd**2)
    within_sd, aucs = np.sqrt(1 + case_sd**2) / total_sd, []
    for shift in separation + reader_sd / total_sd * norm.ppf((np.arange(200) + 0.5) / 200):
        synthetic, real = (np.diff(norm.cdf((cuts - mean) / within_sd)) for mean in (shift, -shift))
        aucs.append((synthetic * (np.cumsum(real) - real / 2)).sum())
    return float(np.mean(aucs))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("skill", "reader_sd", "case_sd", "n_readers"),
    [(0.5, 0.0, 0.5, 3), (0.65, 0.2, 0.5, 3), (0.9, 0.2, 0.5, 3), (0.7, 0.4, 0.5, 5)],
)
def test_intervals_cover_the_truth(skill: float, reader_sd: float, case_sd: float, n_readers: int) -> None:
    """In 200 studies of simulated readers, each kind of 95 % interval covers the truth in at least 92 %.

    The kinds are pooled accuracy, pooled AUC, the accuracy of one reader, and the AUC of one reader.
    """
    rng = np.random.default_rng(int(1000 * skill))
    separation = norm.ppf(skill)
    true_auc = five_level_auc(separation, reader_sd=reader_sd, case_sd=case_sd)
    is_covered = np.zeros((200, 4), dtype=bool)
    for study in range(200):
        evidence = simulate_evidence(skill, reader_sd=reader_sd, case_sd=case_sd, n_readers=n_readers, rng=rng)
        correct = (evidence > 0).astype(float)
        for_synthetic = np.where(SYNTHETIC, evidence, -evidence) / np.sqrt(1 + reader_sd**2 + case_sd**2)
        confidence = 1.0 + np.digitize(for_synthetic, [-1.2, -0.4, 0.4, 1.2])
        single_evidence = separation + rng.normal(size=100)  # one reader, all cases equally hard
        single_confidence = 1.0 + np.digitize(
            np.where(SYNTHETIC, single_evidence, -single_evidence), [-1.2, -0.4, 0.4, 1.2]
        )
        estimates = (
            accuracy.pool_accuracy(correct, CASES, rng),
            accuracy.pool_auc(confidence, SYNTHETIC, CASES, rng),
            accuracy.estimate_reader_accuracy((single_evidence > 0).astype(float)),
            accuracy.estimate_reader_auc(single_confidence, SYNTHETIC),
        )
        truths = (skill, true_auc, skill, five_level_auc(separation))
        for kind, (estimate, truth) in enumerate(zip(estimates, truths, strict=True)):
            assert estimate is not None
            is_covered[study, kind] = estimate.low <= truth <= estimate.high  # type: ignore[operator]
    assert is_covered.mean(axis=0).min() >= 0.92, is_covered.mean(axis=0)
