"""Statistics of single images: brightness, contrast and sharpness, one value per image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
_MAX_LEVEL = 255


def measure_brightness(pixels: NDArray[np.uint8]) -> Float64:
    """The mean of each image of [n, R, R] as a share of white, float64 [n] from 0 to 1."""
    return np.asarray(pixels.mean(axis=(1, 2), dtype=np.float64) / _MAX_LEVEL)


def measure_contrast(pixels: NDArray[np.uint8]) -> Float64:
    """The standard deviation of the pixels of each image of [n, R, R] as a share of white, float64 [n]."""
    return np.asarray(pixels.std(axis=(1, 2), dtype=np.float64) / _MAX_LEVEL)


def measure_sharpness(pixels: NDArray[np.uint8]) -> Float64:
    """The root mean square difference of neighbouring pixels, divided by the contrast, float64 [n].

    It is near 0 for a blurred image and sqrt(2) for white noise. An image of one grey level has 0.
    """
    values = pixels.astype(np.float64)
    squares = [np.square(np.diff(values, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2)]
    deviation = values.std(axis=(1, 2))
    return np.asarray(np.sqrt(np.mean(squares, axis=0)) / np.where(deviation > 0, deviation, 1))
