"""Statistics of images: known values."""

from __future__ import annotations

import numpy as np
import pytest

from synthcxr.evaluation.metrics import image_statistics as statistics

FLAT = np.full((1, 8, 8), 51, np.uint8)
HALVES = np.repeat(np.array([[0, 255]], np.uint8), 4, axis=1)[None].repeat(8, axis=1)
"""One image of 8 x 8 px, the left half black and the right half white."""


def test_a_flat_image_has_its_level_and_nothing_else() -> None:
    """51 of 255 is a fifth of white; contrast and sharpness are 0."""
    assert statistics.measure_brightness(FLAT) == pytest.approx([0.2])
    assert statistics.measure_contrast(FLAT) == pytest.approx([0])
    assert statistics.measure_sharpness(FLAT) == pytest.approx([0])


def test_black_and_white_halves() -> None:
    """Mean and deviation are one half; one of the 7 differences in each row is 255, which is twice the deviation."""
    assert statistics.measure_brightness(HALVES) == pytest.approx([0.5])
    assert statistics.measure_contrast(HALVES) == pytest.approx([0.5])
    assert statistics.measure_sharpness(HALVES) == pytest.approx([np.sqrt((4 / 7 + 0) / 2)])


def test_white_noise_has_a_sharpness_of_the_root_of_two() -> None:
    """Neighbours are independent; a blurred image of the same noise is less sharp."""
    noise = np.random.default_rng(0).integers(0, 256, (4, 128, 128), dtype=np.uint8)
    assert statistics.measure_sharpness(noise) == pytest.approx([np.sqrt(2)] * 4, rel=0.02)
    blurred = ((noise.astype(int) + np.roll(noise, 1, axis=2)) // 2).astype(np.uint8)
    assert (statistics.measure_sharpness(blurred) < statistics.measure_sharpness(noise)).all()
