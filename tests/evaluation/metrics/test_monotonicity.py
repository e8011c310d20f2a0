from __future__ import annotations

import numpy as np
import pytest

from synthcxr.evaluation.metrics import frechet, monotonicity
from synthcxr.evaluation.metrics.monotonicity import DisturbanceCurve

N, D = 120, 8


def draw_features(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((N, D))


def measure_shifts(shifts: dict[float, float]) -> DisturbanceCurve:
    """The curve of a disturbance that adds `shifts` to the mean, by level; two films for each patient."""
    untouched = draw_features(2)
    curves = monotonicity.measure_curves(
        reference=draw_features(1),
        untouched=untouched,
        disturbed={"shifted": {level: untouched + shift for level, shift in shifts.items()}},
        reference_patients=np.array([f"r{i // 2}" for i in range(N)], dtype=object),
        disturbed_patients=np.array([f"d{i // 2}" for i in range(N)], dtype=object),
        n_bootstrap=60,
        rng=np.random.default_rng(0),
    )
    return curves["shifted"]


def test_values_are_frechet_distances_from_the_reference() -> None:
    """Each level holds the distance of its features to the reference; the first level is that of untouched films."""
    curve = measure_shifts({1.0: 0.5, 2.0: 1.0})
    assert [point.level for point in curve.levels] == [0, 1, 2]
    for point, shift in zip(curve.levels, (0, 0.5, 1.0), strict=True):
        expected = frechet.frechet_distance(real=draw_features(1), synthetic=draw_features(2) + shift)
        assert point.value == pytest.approx(expected, rel=1e-9)
        assert point.interval[0] <= point.value <= point.interval[1]
    assert (curve.n_reference, curve.n_disturbed) == (N, N)


def test_large_steps_grow() -> None:
    """The interval of each rise is above 0."""
    curve = measure_shifts({1.0: 1.0, 2.0: 2.0, 3.0: 3.0})
    assert curve.grows == "yes"
    assert curve.levels[0].rise is None
    assert all(point.rise_interval[0] > 0 for point in curve.levels[1:])


def test_a_falling_step_does_not_grow() -> None:
    """Growth between the first and the last level does not hide a fall between them."""
    assert measure_shifts({1.0: 2.0, 2.0: 1.0, 3.0: 3.0}).grows == "no"


def test_a_constant_distance_does_not_grow() -> None:
    """A distance that does not change with the disturbance does not grow."""
    assert measure_shifts({1.0: 0.0}).grows == "no"


def test_a_small_step_is_within_chance() -> None:
    """A rise that other patients could reverse is "within chance"."""
    direction = np.sign((draw_features(2).mean(0) - draw_features(1).mean(0)).sum())
    assert measure_shifts({1.0: 0.02 * direction}).grows == "within chance"


def test_the_interval_of_a_rise_is_narrower_than_that_of_a_value() -> None:
    """Both levels share the resamples of patients, which makes the interval of the rise narrower."""
    point = measure_shifts({1.0: 0.3}).levels[1]
    assert point.rise_interval is not None
    assert point.rise_interval[1] - point.rise_interval[0] < point.interval[1] - point.interval[0]
