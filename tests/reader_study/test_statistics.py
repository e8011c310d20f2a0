"""The statistics against scipy, scikit-learn and statsmodels, known values, and simulated readers of known skill."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.metrics import cohen_kappa_score, roc_auc_score, roc_curve
from statsmodels.stats.inter_rater import cohens_kappa, fleiss_kappa
from statsmodels.stats.proportion import proportion_confint

from synthcxr.reader_study import accuracy, intervals, kappa, roc

CASES = [f"case{at}" for at in range(100)]
SYNTHETIC = np.arange(100) % 2 == 1


@pytest.mark.parametrize(("k", "n"), [(0, 12), (7, 12), (12, 12), (61, 100)])
def test_a_share_is_exact(k: int, n: int) -> None:
    """The interval is Clopper and Pearson's, as statsmodels has it."""
    found = intervals.share(k, n)
    assert (found.value, found.n) == (k / n, n)
    assert (found.low, found.high) == pytest.approx(proportion_confint(k, n, method="beta"))


def test_nothing_is_said_of_nothing() -> None:
    """No reading gives no value."""
    assert intervals.share(0, 0).value is None
    assert roc.auc(np.array([1.0, 2.0]), np.array([True, True])).value is None
    assert roc.curve(np.array([1.0, 2.0]), np.array([True, True])) == []
    assert kappa.cohen([], [], k=3).value is None
    assert kappa.cohen([1, 1], [1, 1], k=3).value is None


@pytest.mark.parametrize("seed", range(5))
def test_the_auc_is_that_of_scikit_learn(seed: int) -> None:
    """Value and curve on random five-point ratings with ties."""
    rng = np.random.default_rng(seed)
    confidence = np.clip(np.rint(rng.normal(3 + SYNTHETIC, 1.2)), 1, 5)
    found = roc.auc(confidence, SYNTHETIC)
    assert found.value == pytest.approx(roc_auc_score(SYNTHETIC, confidence))
    points = {(round(x, 9), round(y, 9)) for x, y in roc.curve(confidence, SYNTHETIC)}
    fpr, tpr, _ = roc_curve(SYNTHETIC, confidence, drop_intermediate=False)
    assert {(round(float(x), 9), round(float(y), 9)) for x, y in zip(fpr, tpr, strict=True)} <= points


def test_newcombe_ends_where_the_deviation_is_196_standard_errors() -> None:
    """At both ends the distance from the value is 1.96 standard errors of Hanley and McNeil at that end, with both
    numbers replaced by their mean; at 1 the interval stays open below."""
    m, n, value = 40, 60, 0.8
    for end in roc.newcombe(value, m, n):
        q1, q2, mean = end / (2 - end), 2 * end**2 / (1 + end), (m + n) / 2 - 1
        variance = (end * (1 - end) + mean * ((q1 - end**2) + (q2 - end**2))) / (m * n)
        assert abs(value - end) == pytest.approx(1.959963984540054 * variance**0.5, rel=1e-6)
    assert roc.newcombe(1.0, 20, 20)[1] == 1.0
    assert 0.8 < roc.newcombe(1.0, 20, 20)[0] < 0.95


@pytest.mark.parametrize("quadratic", [False, True])
def test_cohens_kappa(quadratic: bool) -> None:
    """As scikit-learn and statsmodels have it, plain and weighted."""
    rng = np.random.default_rng(3)
    first = rng.integers(0, 5, 60)
    second = np.where(rng.uniform(size=60) < 0.6, first, rng.integers(0, 5, 60))
    found = kappa.cohen(first, second, k=5, quadratic=quadratic)
    assert found.value == pytest.approx(cohen_kappa_score(first, second, weights="quadratic" if quadratic else None))
    table = np.zeros((5, 5))
    np.add.at(table, (first, second), 1)
    weights = {"wt": "quadratic"} if quadratic else {}
    assert found.value == pytest.approx(cohens_kappa(table, **weights).kappa)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high  # type: ignore[operator]


def test_fleiss_kappa() -> None:
    """As statsmodels has it on random ratings; 1 where all agree and differ by case."""
    ratings = np.random.default_rng(1).integers(0, 3, (4, 50))
    counts = np.stack([(ratings == level).sum(axis=0) for level in range(3)], axis=1)
    assert kappa.fleiss(ratings, k=3).value == pytest.approx(fleiss_kappa(counts, method="fleiss"))
    assert kappa.fleiss(np.tile(np.arange(30) % 3, (3, 1)), k=3).value == pytest.approx(1.0)
    assert kappa.fleiss(ratings[:1], k=3).value is None


def test_perfect_readers_leave_room() -> None:
    """Three readers who never err give no interval of no width."""
    right = np.ones((3, 100))
    found = accuracy.pooled(right, CASES, np.random.default_rng(0))
    assert found is not None
    assert found.value == 1.0
    assert found.low == pytest.approx(intervals.share(100, 100).low)
    confidence = np.tile(np.where(SYNTHETIC, 5.0, 1.0), (3, 1))
    area = roc.pooled(confidence, SYNTHETIC, CASES, np.random.default_rng(0))
    assert area is not None
    assert area.value == 1.0
    assert area.low is not None
    assert 0.9 < area.low < 1


def test_one_reader_says_nothing_of_others() -> None:
    """There is no interval over readers with one of them."""
    assert accuracy.pooled(np.ones((1, 100)), CASES, np.random.default_rng(0)) is None
    assert roc.pooled(np.ones((1, 100)), SYNTHETIC, CASES, np.random.default_rng(0)) is None


def test_readings_that_are_missing_are_left_out() -> None:
    """The unread count neither as right nor as wrong, in accuracy and AUC."""
    rng = np.random.default_rng(0)
    right = (rng.uniform(size=(3, 100)) < 0.7).astype(float)
    right[0, 50:] = np.nan
    found = accuracy.pooled(right, CASES, rng)
    assert found is not None
    assert (found.n, found.value) == (250, pytest.approx(np.nanmean(right)))
    confidence = rng.integers(1, 6, (3, 100)).astype(float)
    confidence[1, :40] = np.nan
    area = roc.pooled(confidence, SYNTHETIC, CASES, rng)
    each = [roc_auc_score(SYNTHETIC[held], row[held]) for row in confidence for held in [~np.isnan(row)]]
    assert area is not None
    assert area.value == pytest.approx(np.mean(each))


def test_films_of_one_patient_are_resampled_together() -> None:
    """Ten films of each of ten patients, all right or all wrong, are ten cases and not a hundred."""
    right = np.repeat(np.arange(10) % 2, 10)[None].repeat(3, axis=0).astype(float)
    alone = accuracy.pooled(right, CASES, np.random.default_rng(0))
    together = accuracy.pooled(right, [str(at // 10) for at in range(100)], np.random.default_rng(0))
    assert alone is not None
    assert together is not None
    assert together.high - together.low > 2 * (alone.high - alone.low)  # type: ignore[operator]


def simulated(skill: float, *, readers: float, cases: float, n_readers: int, rng: np.random.Generator) -> np.ndarray:
    """Evidence [R, C] for the truth of normal readers: right with probability `skill` over readers and cases whose
    ease varies with the standard deviations `readers` and `cases` against a noise of 1."""
    total = np.sqrt(1 + readers**2 + cases**2)
    held = norm.ppf(skill) * total + readers * rng.normal(size=(n_readers, 1)) + cases * rng.normal(size=(1, 100))
    return np.asarray(held + rng.normal(size=(n_readers, 100)))


WORLDS = [(0.5, 0.0, 0.5, 3), (0.65, 0.2, 0.5, 3), (0.9, 0.2, 0.5, 3), (0.7, 0.4, 0.5, 5)]


@pytest.mark.slow
@pytest.mark.parametrize(("skill", "readers", "cases", "n_readers"), WORLDS)
def test_intervals_hold_the_truth(skill: float, readers: float, cases: float, n_readers: int) -> None:
    """Of 200 studies of simulated readers of known skill, the 95 % intervals of pooled accuracy and pooled AUC, of one
    reader's accuracy and of one reader's AUC each hold the truth in at least 92 %."""
    rng = np.random.default_rng(int(1000 * skill))
    separation = norm.ppf(skill)
    area = five_point_auc(separation, readers=readers, cases=cases)
    hits = np.zeros((200, 4), dtype=bool)
    for study in range(200):
        evidence = simulated(skill, readers=readers, cases=cases, n_readers=n_readers, rng=rng)
        right = (evidence > 0).astype(float)
        towards = np.where(SYNTHETIC, evidence, -evidence) / np.sqrt(1 + readers**2 + cases**2)
        confidence = 1.0 + np.digitize(towards, [-1.2, -0.4, 0.4, 1.2])
        fixed = separation + rng.normal(size=100)  # one reader whose every case is as hard
        own = 1.0 + np.digitize(np.where(SYNTHETIC, fixed, -fixed), [-1.2, -0.4, 0.4, 1.2])
        found = (
            accuracy.pooled(right, CASES, rng),
            roc.pooled(confidence, SYNTHETIC, CASES, rng),
            accuracy.of_reader((fixed > 0).astype(float)),
            roc.auc(own, SYNTHETIC),
        )
        truths = (skill, area, skill, five_point_auc(separation))
        for at, (estimate, truth) in enumerate(zip(found, truths, strict=True)):
            assert estimate is not None
            hits[study, at] = estimate.low <= truth <= estimate.high  # type: ignore[operator]
    assert hits.mean(axis=0).min() >= 0.92, hits.mean(axis=0)


def five_point_auc(separation: float, *, readers: float = 0.0, cases: float = 0.0) -> float:
    """The mean over readers of the AUC of normal evidence, its mean `separation` up and down, cut into five levels."""
    cuts = np.array([-np.inf, -1.2, -0.4, 0.4, 1.2, np.inf])
    total = np.sqrt(1 + readers**2 + cases**2)
    within, areas = np.sqrt(1 + cases**2) / total, []
    for skill in separation + readers / total * norm.ppf((np.arange(200) + 0.5) / 200):
        made, real = (np.diff(norm.cdf((cuts - shift) / within)) for shift in (skill, -skill))
        areas.append((made * (np.cumsum(real) - real / 2)).sum())
    return float(np.mean(areas))


def test_the_logit_scale_keeps_intervals_inside() -> None:
    """An interval near an end does not pass it."""
    right = (np.random.default_rng(0).uniform(size=(2, 100)) < 0.98).astype(float)
    found = accuracy.pooled(right, CASES, np.random.default_rng(0))
    assert found is not None
    assert 0 < expit(logit(found.low)) < found.value < found.high < 1  # type: ignore[operator]
