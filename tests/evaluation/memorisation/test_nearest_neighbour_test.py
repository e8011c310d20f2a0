from __future__ import annotations

import numpy as np
import pytest

from synthcxr.errors import DataError
from synthcxr.evaluation.memorisation import nearest_neighbour_test
from synthcxr.evaluation.memorisation.nearest_neighbour_test import Nearness

PATIENTS = np.array([f"p{i // 2}" for i in range(600)], dtype=object)


def far(n: int, *, seed: int) -> np.ndarray:
    """Distances as films of strangers have them."""
    return np.random.default_rng(seed).gamma(20, 1, n)


def compare(synthetic: np.ndarray, *, null: np.ndarray | None = None, draws: int = 200) -> Nearness:
    null = far(600, seed=1) if null is None else null
    return nearest_neighbour_test.compare(
        synthetic=synthetic,
        null=null,
        null_patients=PATIENTS[: len(null)],
        n_bootstrap=draws,
        rng=np.random.default_rng(5),
    )


def test_strangers_are_flagged_as_often_as_chance_says() -> None:
    """Distances of the null's own distribution: a share near 1 %, an interval that holds it, a ratio near 1."""
    found = compare(far(2000, seed=2))
    assert found.share == pytest.approx(0.01, abs=0.008)
    assert found.share_low == found.share_interval[0] < found.expected < found.share_interval[1]
    assert found.median_ratio == pytest.approx(1, abs=0.03)
    assert (found.n, found.n_null, found.n_null_patients) == (2000, 600, 300)


def test_copies_show() -> None:
    """Three in a hundred copies among strangers put the whole interval above what chance gives."""
    mixed = np.r_[far(1940, seed=2), np.full(60, 0.1)]
    found = compare(mixed)
    assert found.share_low > found.expected
    assert found.n_below_null >= 60


@pytest.mark.slow
def test_the_detectable_share_is_detected() -> None:
    """With that share of copies most sets show it, and with none next to no set does: simulated afresh."""
    null = far(600, seed=1)
    share = compare(far(1000, seed=2), null=null).detectable
    assert share is not None
    assert 0.005 < share < 0.03
    rng = np.random.default_rng(7)
    shown = {0.0: 0, share: 0}
    for part in shown:
        for _ in range(30):
            n_copies = round(1000 * part)
            made = np.r_[rng.choice(null, 1000 - n_copies), np.zeros(n_copies)]
            held = nearest_neighbour_test.compare(
                synthetic=made, null=null, null_patients=PATIENTS, n_bootstrap=100, rng=rng
            )
            shown[part] += held.share_low > held.expected
    assert shown[share] >= 18
    assert shown[0.0] <= 4


def test_few_images_detect_only_large_shares() -> None:
    """The power falls with the number of images."""
    few, many = compare(far(60, seed=2)).detectable, compare(far(3000, seed=2)).detectable
    assert few is not None
    assert many is not None
    assert few > 3 * many


def test_a_share_of_nought_has_a_width() -> None:
    """None of 100 images flagged is no proof of none in a thousand."""
    found = compare(np.full(100, 1e6))
    assert found.share == 0
    assert found.share_interval[1] > 0.03


def test_quantiles_of_weighted_films() -> None:
    """The smallest value that reaches the level; a film drawn twice counts twice and one not drawn not at all."""
    values = np.array([3.0, 1.0, 2.0, 4.0])
    assert nearest_neighbour_test.quantile(values, 0.01) == 1
    assert nearest_neighbour_test.quantile(values, 0.5) == 2
    assert nearest_neighbour_test.quantile(values, 0.5, np.array([2.0, 0.0, 1.0, 1.0])) == 3
    assert nearest_neighbour_test.quantile(values, 0.01, np.array([1.0, 0.0, 0.0, 1.0])) == 3


def test_a_null_without_distance_is_refused() -> None:
    """Held-out films that are the learnt ones can judge nothing."""
    with pytest.raises(DataError, match="the same films on two sides"):
        compare(far(50, seed=1), null=np.zeros(600))
