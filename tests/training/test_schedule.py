"""The schedule: growth, fade and learning rate as a pure function of nimg."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthcxr.errors import ConfigError
from synthcxr.training import schedule

PHASES = schedule.phases({4: 100, 8: 200, 16: 400}, {4: 16, 8: 16, 16: 8}, fade_nimg={8: 100, 16: 200}, resolution=16)


def test_known_moments() -> None:
    """No fade at the first resolution; half of each later one; the rate falls to 0 at the end."""
    at = [schedule.at(nimg, PHASES, lr_decay_share=0.5) for nimg in (0, 99, 100, 150, 200, 300, 500, 699)]
    assert [m.resolution for m in at] == [4, 4, 8, 8, 8, 16, 16, 16]
    assert [m.alpha for m in at] == [1, 1, 0, 0.5, 1, 0, 1, 1]
    assert [m.batch for m in at] == [16, 16, 16, 16, 16, 8, 8, 8]
    assert at[0].lr == at[5].lr == 1
    assert at[-1].lr == pytest.approx(1 / 350)


@given(st.integers(0, 800))
def test_alpha_and_rate_stay_in_range_and_past_the_end_holds_the_last_phase(nimg: int) -> None:
    """For any nimg."""
    moment = schedule.at(nimg, PHASES, lr_decay_share=0.3)
    assert 0 <= moment.alpha <= 1
    assert 0 <= moment.lr <= 1
    assert moment.resolution == (16 if nimg >= 300 else 8 if nimg >= 100 else 4)


def test_the_final_resolution_must_be_shown_images() -> None:
    """Else the exported network would hold untrained layers."""
    with pytest.raises(ConfigError, match="nimg.16"):
        schedule.phases({4: 100, 8: 200}, {4: 8, 8: 8}, fade_nimg={}, resolution=16)
