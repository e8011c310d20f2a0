"""Which real films lie nearest to a synthetic image, for the private report's eye; pixels only, no verdict."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import images
from synthcxr.data.images import Float32, UInt8

SIDE_PX = 32


def nearest(*, synthetic: UInt8, films: Iterable[UInt8]) -> NDArray[np.int64]:
    """Position among all `films`, given in batches [m, R, R], of the nearest to each of `synthetic` [n, R, R].

    Euclidean, at SIDE_PX or less, each image at mean 0 and length 1, so that brightness and contrast do not count.
    One batch is held at a time; of equals the first counts. Gives int64 [n].
    """
    points = _points(synthetic)
    best, at = np.full(len(points), -np.inf, np.float32), np.zeros(len(points), np.int64)
    start = 0
    for batch in films:
        likeness = points @ _points(batch).T
        nearer = likeness.max(axis=1) > best
        at[nearer] = start + likeness.argmax(axis=1)[nearer]
        best = np.maximum(best, likeness.max(axis=1))
        start += len(batch)
    return at


def _points(pixels: UInt8) -> Float32:
    side = min(SIDE_PX, pixels.shape[1])
    small = np.stack([images.resize(image.astype(np.float32), side) for image in pixels]).reshape(len(pixels), -1)
    centred = small - small.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    points: Float32 = centred / np.maximum(length, np.float32(1e-6))
    return points
