"""The film nearest to an image in pixels, over small shifts, whatever its brightness and contrast.

Both are smoothed, so that noise on a copy counts little, and reduced to SIDE_PX. The image without its border, at
mean 0 and length 1, is laid on every film at every shift; what it covers there is brought to mean 0 and length 1 too.
The distance is Euclidean between the two at the best shift: 0 for the same picture, sqrt(2) for unrelated ones.
Laying the image on the frame instead of cutting the films makes all shifts of all films one matrix product.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from scipy.ndimage import gaussian_filter

from synthcxr.data import images
from synthcxr.data.images import Float32, UInt8
from synthcxr.errors import DataError
from synthcxr.evaluation.metrics.nearest_neighbours import NO_OTHER_PATIENT, Groups, Nearest

SIDE_PX = 32
FROM_PX = 2 * SIDE_PX
SHIFT_SHARE = 1 / 16
SMOOTHING_SHARE = 1 / 32
RULE = (
    f"reduced to {FROM_PX} px, smoothed (Gaussian, sigma 1/32 of the side), reduced to {SIDE_PX} px; the best of"
    " all shifts up to 1/16 of the side, brightness and contrast set aside"
)
_CHUNK = 4_000_000
_FLAT = np.float32(1e-3)


def packed_side(side: int) -> int:
    """The size in px at which films are compared with images of `side` px: no film of FROM_PX or more is left out."""
    return min(side, FROM_PX)


def reduced(pixels: UInt8) -> Float32:
    """Images uint8 [n, R, R], smoothed, at SIDE_PX or as they are where they are smaller, float32 in [0, 1]."""
    unit = _at_most(pixels.astype(np.float32) / np.float32(255), FROM_PX)
    sigma = unit.shape[1] * SMOOTHING_SHARE
    return _at_most(gaussian_filter(unit, (0, sigma, sigma)), SIDE_PX)


def neighbours(*, queries: Float32, held: Float32, groups: Groups | None = None) -> Nearest:
    """The nearest of `held` [m, side, side] to each of `queries` [n, side, side], both of `reduced`.

    `groups` (of queries, of held) keep a query from those of its own group, as in `nearest.neighbours`.
    """
    return PixelIndex.build(held).nearest(queries, groups)


@dataclasses.dataclass(frozen=True)
class PixelIndex:
    """Films ready to be compared: `frames` float32 [m, side * side] in [0, 1] and the `lengths` [shifts, m] of windows.

    Of a film and a shift the length is that of the window less its mean. Flat windows are like nothing.
    """

    frames: Float32
    lengths: Float32
    side: int
    shift: int

    @classmethod
    def build(cls, small: Float32) -> PixelIndex:
        """The index of films [m, side, side] of `reduced`."""
        if not len(small):
            raise DataError("no films to compare images with")
        side = small.shape[1]
        shift = max(1, round(side * SHIFT_SHARE))
        lengths = np.stack([_lengths(small, at, side - 2 * shift) for at in _shifts(shift)])
        return cls(small.reshape(len(small), -1), lengths, side, shift)

    def nearest(self, small: Float32, groups: Groups | None = None) -> Nearest:
        """The nearest film to each image [n, side, side] of `reduced`; DataError for another side."""
        if small.shape[1] != self.side:
            raise DataError(f"images of {small.shape[1]} px are compared with films reduced to {self.side} px")
        step = self._chunk()
        parts = []
        for start in range(0, len(small), step):
            likeness = self._likeness(small[start : start + step])
            if groups is not None:
                likeness[groups[0][start : start + step, None] == groups[1][None]] = -np.inf
            parts.append(_best(likeness))
        return Nearest(np.concatenate([p.distance for p in parts]), np.concatenate([p.at for p in parts]))

    def _chunk(self) -> int:
        a_query = len(self.lengths) * (self.side**2 + len(self.frames))
        return max(1, _CHUNK // a_query)

    def _likeness(self, small: Float32) -> Float32:
        """The correlation [n, m] of each image with each film at the best shift."""
        product = (self._laid(small) @ self.frames.T).reshape(len(small), len(self.lengths), -1)
        product /= self.lengths
        likeness: Float32 = product.max(axis=1)
        return likeness

    def _laid(self, small: Float32) -> Float32:
        """Each image's inner window at every shift in an empty frame, [n * shifts, side * side]."""
        inner, width = small[:, self.shift : -self.shift, self.shift : -self.shift], self.side - 2 * self.shift
        inner = inner - inner.mean(axis=(1, 2), keepdims=True)
        inner /= np.maximum(np.sqrt((inner**2).sum(axis=(1, 2), keepdims=True)), _FLAT)
        laid = np.zeros((len(small), len(self.lengths), self.side, self.side), dtype=np.float32)
        for number, (down, right) in enumerate(_shifts(self.shift)):
            laid[:, number, down : down + width, right : right + width] = inner
        return laid.reshape(-1, self.side**2)


def _at_most(unit: Float32, side: int) -> Float32:
    if unit.shape[1] <= side:
        return unit
    return np.stack([images.resize(image, side) for image in unit])


def _best(likeness: Float32) -> Nearest:
    """The nearest by likeness [n, m]; DataError where a row has no film to be compared with."""
    at = likeness.argmax(axis=1)
    best = likeness[np.arange(len(at)), at].astype(np.float64)
    if not np.isfinite(best).all():
        raise DataError(NO_OTHER_PATIENT)
    return Nearest(np.sqrt(np.maximum(2 - 2 * best, 0)), at.astype(np.int64))


def _shifts(shift: int) -> list[tuple[int, int]]:
    """The top left corners of the window, those nearest to the middle first."""
    steps = range(2 * shift + 1)
    return sorted(itertools.product(steps, steps), key=lambda at: max(abs(at[0] - shift), abs(at[1] - shift)))


def _lengths(small: Float32, corner: tuple[int, int], width: int) -> Float32:
    """The length [m] of each film's window less its mean; infinite where it is flat."""
    down, right = corner
    window = small[:, down : down + width, right : right + width].astype(np.float64)
    length = np.sqrt(((window - window.mean(axis=(1, 2), keepdims=True)) ** 2).sum(axis=(1, 2)))
    return np.where(length > _FLAT, length, np.inf).astype(np.float32)
