"""Which real films lie nearest to a synthetic image, for the private report's eye; pixels only, no verdict."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthcxr import images
from synthcxr.images import Float32, UInt8

SIDE_PX = 32


def nearest(*, synthetic: UInt8, films: UInt8) -> NDArray[np.int64]:
    """Position in `films` [m, R, R] of the one nearest to each of `synthetic` [n, R, R], int64 [n].

    Euclidean, at SIDE_PX or less, each image at mean 0 and length 1, so that brightness and contrast do not count.
    """
    likeness = _points(synthetic) @ _points(films).T
    at: NDArray[np.int64] = likeness.argmax(axis=1).astype(np.int64)
    return at


def _points(pixels: UInt8) -> Float32:
    side = min(SIDE_PX, pixels.shape[1])
    small = np.stack([images.resize(image.astype(np.float32), side) for image in pixels]).reshape(len(pixels), -1)
    centred = small - small.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    points: Float32 = centred / np.maximum(length, np.float32(1e-6))
    return points
