from __future__ import annotations

import numpy as np
import pytest

from synthcxr.errors import DataError
from synthcxr.evaluation.memorisation import nearest_neighbour_test
from synthcxr.evaluation.memorisation.nearest_neighbour_test import NearestNeighbourTest

PATIENTS = np.array([f"p{i // 2}" for i in range(600)], dtype=object)


def draw_distances(n: int, *, seed: int) -> np.ndarray:
    """Distances between unrelated films."""
    return np.random.default_rng(seed).gamma(20, 1, n)


def compare(synthetic: np.ndarray, *, null: np.ndarray | None = None) -> NearestNeighbourTest:
    null = draw_distances(600, seed=1) if null is None else null
    return nearest_neighbour_test.compare_distances(
        synthetic=synthetic,
        null=null,
        null_patients=PATIENTS[: len(null)],
        n_bootstrap=200,
        rng=np.random.default_rng(5),
    )


def test_images_that_copy_nothing_are_flagged_as_often_as_expected() -> None:
    """For distances like the null's, the share is about 1 %, in its interval, and the median ratio about 1."""
    result = compare(draw_distances(2000, seed=2))
    assert result.share == pytest.approx(0.01, abs=0.008)
    assert result.share_low == result.share_interval[0] < result.expected < result.share_interval[1]
    assert result.median_ratio == pytest.approx(1, abs=0.03)
    assert (result.n, result.n_null, result.n_null_patients) == (2000, 600, 300)


def test_three_percent_of_copies_are_detected() -> None:
    """With three copies in a hundred images the whole interval is above the expected share."""
    result = compare(np.r_[draw_distances(1940, seed=2), np.full(60, 0.1)])
    assert result.share_low > result.expected
    assert result.n_below_null >= 60


@pytest.mark.slow
def test_the_detectable_share_is_detected_in_new_simulations() -> None:
    """With that share of copies most simulated sets show copying, and without copies almost none does."""
    null = draw_distances(600, seed=1)
    share = compare(draw_distances(1000, seed=2), null=null).detectable
    assert share is not None
    assert 0.005 < share < 0.03
    rng = np.random.default_rng(7)
    n_detected = {0.0: 0, share: 0}
    for share_of_copies in n_detected:
        for _ in range(30):
            n_copies = round(1000 * share_of_copies)
            synthetic = np.r_[rng.choice(null, 1000 - n_copies), np.zeros(n_copies)]
            result = nearest_neighbour_test.compare_distances(
                synthetic=synthetic, null=null, null_patients=PATIENTS, n_bootstrap=100, rng=rng
            )
            n_detected[share_of_copies] += result.share_low > result.expected
    assert n_detected[share] >= 18
    assert n_detected[0.0] <= 4


def test_few_images_detect_only_large_shares() -> None:
    """The power decreases with the number of images."""
    detectable_of_few = compare(draw_distances(60, seed=2)).detectable
    detectable_of_many = compare(draw_distances(3000, seed=2)).detectable
    assert detectable_of_few is not None
    assert detectable_of_many is not None
    assert detectable_of_few > 3 * detectable_of_many


def test_a_share_of_zero_has_an_interval() -> None:
    """No flagged image among 100 does not exclude a share of 3 %."""
    result = compare(np.full(100, 1e6))
    assert result.share == 0
    assert result.share_interval[1] > 0.03


def test_weighted_quantile_counts_weights() -> None:
    """The quantile is the smallest value that reaches the level; weights of 2 and 0 count twice and not at all."""
    values = np.array([3.0, 1.0, 2.0, 4.0])
    assert nearest_neighbour_test.weighted_quantile(values, 0.01) == 1
    assert nearest_neighbour_test.weighted_quantile(values, 0.5) == 2
    assert nearest_neighbour_test.weighted_quantile(values, 0.5, np.array([2.0, 0.0, 1.0, 1.0])) == 3
    assert nearest_neighbour_test.weighted_quantile(values, 0.01, np.array([1.0, 0.0, 0.0, 1.0])) == 3


def test_held_out_films_that_are_training_films_are_an_error() -> None:
    """A null without distances raises DataError."""
    with pytest.raises(DataError, match="held-out films duplicate training films"):
        compare(draw_distances(50, seed=1), null=np.zeros(600))
