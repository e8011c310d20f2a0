from __future__ import annotations

import numpy as np
import pytest

from synthcxr.data.findings import FINDINGS
from synthcxr.evaluation import utility
from synthcxr.evaluation.metrics import auroc
from synthcxr.evaluation.utility import BOTH, REAL, SYNTHETIC, TWICE, Utility

N = 160


def findings(seed: int = 0) -> np.ndarray:
    """Labels float32 [160, 14]: two findings are common, the others absent, one of them unknown throughout."""
    held = np.zeros((N, 14), np.float32)
    rng = np.random.default_rng(seed)
    for name in ("Effusion", "Mass"):
        held[:, FINDINGS.index(name)] = rng.random(N) < 0.3
    held[:, FINDINGS.index("Hernia")] = np.nan
    return held


def scores(skill: float, seed: int) -> np.ndarray:
    """Scores that know the labels as well as `skill` says."""
    noise = np.random.default_rng(seed).standard_normal((N, 14)).astype(np.float32)
    return skill * np.nan_to_num(findings()) + noise


def compare(skills: dict[str, float], *, draws: int = 80) -> Utility:
    return utility.compare(
        {arm: [scores(skill, 10 * k + seed) for seed in range(3)] for k, (arm, skill) in enumerate(skills.items())},
        n_images={REAL: 50, SYNTHETIC: 50, TWICE: 100, BOTH: 100},
        findings=findings(),
        patients=np.array([f"p{i // 2}" for i in range(N)], dtype=object),
        n_bootstrap=draws,
        seed=1,
    )


ALIKE = dict.fromkeys(utility.ARMS, 1.5)


def test_arms_are_matched_in_count() -> None:
    """Each film once, each image once, each film twice, and both: as many images as films."""
    held = utility.arrange(5)
    assert {arm: sorted(rows.tolist()) for arm, rows in held.items()} == {
        REAL: [0, 1, 2, 3, 4],
        SYNTHETIC: [5, 6, 7, 8, 9],
        TWICE: [0, 0, 1, 1, 2, 2, 3, 3, 4, 4],
        BOTH: list(range(10)),
    }


def test_a_rank_is_the_mean_over_seeds() -> None:
    """By finding and over the findings that can be ranked, each seed's own value beside it."""
    found = compare(ALIKE)
    assert found.over == ("Effusion", "Mass")
    rank = found.arms[REAL].ranks["Mass"]
    at = FINDINGS.index("Mass")
    single = [auroc.auroc(scores=scores(1.5, seed)[:, at], truth=findings()[:, at]) for seed in range(3)]
    assert rank.by_seed == pytest.approx(single)
    assert rank.value == pytest.approx(np.mean(single))
    assert rank.interval[0] < rank.value < rank.interval[1]
    both = [found.arms[REAL].ranks[name].value for name in found.over]
    assert found.arms[REAL].ranks["mean"].value == pytest.approx(np.mean(both))
    assert found.n_positive == {name: int((findings()[:, FINDINGS.index(name)] == 1).sum()) for name in found.over}
    assert (found.n_test, found.n_patients, found.arms[BOTH].n_images) == (N, N // 2, 100)


def test_equal_skill_has_no_difference() -> None:
    """Trainings of the same skill: every difference's interval holds 0."""
    for held in compare(ALIKE).differences.values():
        assert held.interval[0] < 0 < held.interval[1]


def test_what_synthetic_images_add_shows() -> None:
    """Better with synthetic images than with the films twice: the interval of that difference lies above 0."""
    found = compare(ALIKE | {BOTH: 3.0, SYNTHETIC: 0.3})
    assert found.differences[f"{BOTH} - {TWICE}"].interval[0] > 0
    assert found.differences[f"{SYNTHETIC} - {REAL}"].interval[1] < 0


def test_the_same_numbers_each_time() -> None:
    """Resamples follow the seed alone."""
    assert compare(ALIKE) == compare(ALIKE)
