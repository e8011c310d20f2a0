"""The schedule: growth, fade and learning rate as a pure function of nimg."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthcxr.errors import ConfigError
from synthcxr.training import schedule

PHASES = schedule.build_phases(
    {4: 100, 8: 200, 16: 400}, {4: 16, 8: 16, 16: 8}, fade_nimg={8: 100, 16: 200}, resolution=16
)


def test_the_schedule_has_known_values() -> None:
    """The first resolution has no fade, half of each later one is a fade, and the learning rate falls to 0."""
    nimg = (0, 99, 100, 150, 200, 300, 500, 699)
    points = [schedule.point_at(n, PHASES, lr_decay_share=0.5) for n in nimg]
    assert [point.resolution for point in points] == [4, 4, 8, 8, 8, 16, 16, 16]
    assert [point.alpha for point in points] == [1, 1, 0, 0.5, 1, 0, 1, 1]
    assert [point.batch for point in points] == [16, 16, 16, 16, 16, 8, 8, 8]
    assert points[0].lr_factor == points[5].lr_factor == 1
    assert points[-1].lr_factor == pytest.approx(1 / 350)


@given(st.integers(0, 800))
def test_alpha_and_learning_rate_stay_in_range(nimg: int) -> None:
    """This holds for any nimg; after the end, the last phase applies."""
    point = schedule.point_at(nimg, PHASES, lr_decay_share=0.3)
    assert 0 <= point.alpha <= 1
    assert 0 <= point.lr_factor <= 1
    assert point.resolution == (16 if nimg >= 300 else 8 if nimg >= 100 else 4)


def test_the_final_resolution_must_be_shown_images() -> None:
    """Otherwise the exported network would have untrained layers."""
    with pytest.raises(ConfigError, match="nimg.16"):
        schedule.build_phases({4: 100, 8: 200}, {4: 8, 8: 8}, fade_nimg={}, resolution=16)
