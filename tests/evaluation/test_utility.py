from __future__ import annotations

import numpy as np
import pytest

from synthcxr.data.findings import FINDINGS
from synthcxr.evaluation import utility
from synthcxr.evaluation.metrics import auroc
from synthcxr.evaluation.utility import REAL, REAL_AND_SYNTHETIC, REAL_TWICE, SYNTHETIC, Utility

N = 160


def make_findings() -> np.ndarray:
    """Labels float32 [160, 14]: two findings are common, the others absent, and one is unknown in every film."""
    findings = np.zeros((N, 14), np.float32)
    rng = np.random.default_rng(0)
    for name in ("Effusion", "Mass"):
        findings[:, FINDINGS.index(name)] = rng.random(N) < 0.3
    findings[:, FINDINGS.index("Hernia")] = np.nan
    return findings


def make_scores(skill: float, seed: int) -> np.ndarray:
    """Scores that are more accurate with a higher `skill`."""
    noise = np.random.default_rng(seed).standard_normal((N, 14)).astype(np.float32)
    return skill * np.nan_to_num(make_findings()) + noise


def compare(skills: dict[str, float]) -> Utility:
    """Compare the arms with these skills, each trained with three seeds."""
    return utility.compare_arms(
        {
            arm: [make_scores(skill, 10 * k + seed) for seed in range(3)]
            for k, (arm, skill) in enumerate(skills.items())
        },
        n_images={REAL: 50, SYNTHETIC: 50, REAL_TWICE: 100, REAL_AND_SYNTHETIC: 100},
        findings=make_findings(),
        patients=np.array([f"p{i // 2}" for i in range(N)], dtype=object),
        n_bootstrap=80,
        seed=1,
    )


EQUAL_SKILLS = dict.fromkeys(utility.ARMS, 1.5)


def test_arms_have_matched_numbers_of_images() -> None:
    """The arms contain each film once, each image once, each film twice, and each film and image once."""
    rows_by_arm = utility.arrange_arms(5)
    assert {arm: sorted(rows.tolist()) for arm, rows in rows_by_arm.items()} == {
        REAL: [0, 1, 2, 3, 4],
        SYNTHETIC: [5, 6, 7, 8, 9],
        REAL_TWICE: [0, 0, 1, 1, 2, 2, 3, 3, 4, 4],
        REAL_AND_SYNTHETIC: list(range(10)),
    }


def test_the_auroc_of_an_arm_is_the_mean_over_seeds() -> None:
    """The AUROC by finding, and its mean over the findings with enough positives, contain the AUROC of each seed."""
    comparison = compare(EQUAL_SKILLS)
    assert comparison.over == ("Effusion", "Mass")
    findings, column = make_findings(), FINDINGS.index("Mass")
    estimate = comparison.arms[REAL].ranks["Mass"]
    expected = [auroc.auroc(scores=make_scores(1.5, seed)[:, column], truth=findings[:, column]) for seed in range(3)]
    assert estimate.by_seed == pytest.approx(expected)
    assert estimate.value == pytest.approx(np.mean(expected))
    assert estimate.interval[0] < estimate.value < estimate.interval[1]
    values = [comparison.arms[REAL].ranks[name].value for name in comparison.over]
    assert comparison.arms[REAL].ranks["mean"].value == pytest.approx(np.mean(values))
    n_positive = {name: int((findings[:, FINDINGS.index(name)] == 1).sum()) for name in comparison.over}
    assert comparison.n_positive == n_positive
    n_images = comparison.arms[REAL_AND_SYNTHETIC].n_images
    assert (comparison.n_test, comparison.n_patients, n_images) == (N, N // 2, 100)


def test_arms_of_equal_skill_do_not_differ() -> None:
    """The interval of every difference contains 0."""
    for difference in compare(EQUAL_SKILLS).differences.values():
        assert difference.interval[0] < 0 < difference.interval[1]


def test_a_gain_from_synthetic_images_is_significant() -> None:
    """If real and synthetic images train better than the films twice, the interval of the difference is above 0."""
    comparison = compare(EQUAL_SKILLS | {REAL_AND_SYNTHETIC: 3.0, SYNTHETIC: 0.3})
    assert comparison.differences[f"{REAL_AND_SYNTHETIC} - {REAL_TWICE}"].interval[0] > 0
    assert comparison.differences[f"{SYNTHETIC} - {REAL}"].interval[1] < 0


def test_results_are_reproducible() -> None:
    """The resamples depend on the seed only."""
    assert compare(EQUAL_SKILLS) == compare(EQUAL_SKILLS)
