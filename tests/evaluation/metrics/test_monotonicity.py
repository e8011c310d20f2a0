from __future__ import annotations

import numpy as np
import pytest

from synthcxr.evaluation.metrics import frechet, monotonicity
from synthcxr.evaluation.metrics.monotonicity import Curve

N, D = 120, 8


def cloud(seed: int, shift: float = 0.0, n: int = N) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, D)) + shift


def measure(shifts: dict[float, float], *, draws: int = 60, seed: int = 0, a_patient: int = 2) -> Curve:
    """A disturbance that moves the mean by `shifts` at each level."""
    base = cloud(2)
    found = monotonicity.curves(
        reference=cloud(1),
        untouched=base,
        disturbed={"moved": {level: base + shift for level, shift in shifts.items()}},
        reference_patients=np.array([f"r{i // a_patient}" for i in range(N)], dtype=object),
        disturbed_patients=np.array([f"d{i // a_patient}" for i in range(N)], dtype=object),
        n_bootstrap=draws,
        rng=np.random.default_rng(seed),
    )
    return found["moved"]


def test_distances_are_frechet_distances_from_the_films_as_they_were() -> None:
    """Each level is the distance of its features to the reference; the first is that of the untouched films."""
    curve = measure({1.0: 0.5, 2.0: 1.0})
    assert [at.level for at in curve.levels] == [0, 1, 2]
    for at, shift in zip(curve.levels, (0, 0.5, 1.0), strict=True):
        exact = frechet.frechet_distance(real=cloud(1), synthetic=cloud(2) + shift)
        assert at.value == pytest.approx(exact, rel=1e-9)
        assert at.interval[0] <= at.value <= at.interval[1]
    assert (curve.n_reference, curve.n_disturbed) == (N, N)


def test_clear_steps_grow() -> None:
    """Each step lies above 0 with its whole interval."""
    curve = measure({1.0: 1.0, 2.0: 2.0, 3.0: 3.0})
    assert curve.grows == "yes"
    assert [at.rise for at in curve.levels][0] is None
    assert all(at.rise_interval[0] > 0 for at in curve.levels[1:])


def test_a_step_that_falls_is_no() -> None:
    """Growth at the ends does not hide a step back between them."""
    assert measure({1.0: 2.0, 2.0: 1.0, 3.0: 3.0}).grows == "no"


def test_no_step_is_no() -> None:
    """A distance that does not see the disturbance does not grow."""
    assert measure({1.0: 0.0}).grows == "no"


def test_a_small_step_is_within_chance() -> None:
    """A rise that other patients could undo is not called growth."""
    middle = np.sign((cloud(2).mean(0) - cloud(1).mean(0)).sum())
    assert measure({1.0: 0.02 * middle}).grows == "within chance"


def test_the_interval_of_a_step_is_narrower_than_that_of_its_ends() -> None:
    """One draw of patients serves both levels, so that what they share does not blur the step."""
    curve = measure({1.0: 0.3})
    step, end = curve.levels[1].rise_interval, curve.levels[1].interval
    assert step is not None
    assert step[1] - step[0] < end[1] - end[0]
