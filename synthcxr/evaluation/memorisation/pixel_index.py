"""Finds the film nearest to an image in pixels, over small shifts, independent of brightness and contrast.

Images and films are smoothed, so that noise on a copy has little effect, and reduced to SIDE_PX. The image without its
border, normalised to mean 0 and length 1, is placed on every film at every shift, and the film's window below it is
normalised in the same way. The distance is Euclidean between the two at the best shift: 0 for the same picture,
sqrt(2) for unrelated ones. Placing the image in an empty frame, instead of cutting windows from the films, computes
all shifts of all films with one matrix product.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable

import numpy as np
from scipy.ndimage import gaussian_filter

from synthcxr.data import images
from synthcxr.data.images import Float32, UInt8
from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import nearest_neighbours
from synthcxr.evaluation.metrics.nearest_neighbours import Groups, Neighbours
from synthcxr.storage.progress import track

SIDE_PX = 32
FROM_PX = 2 * SIDE_PX
SHIFT_SHARE = 1 / 16
SMOOTHING_SHARE = 1 / 32
RULE = (
    f"reduced to {FROM_PX} px, smoothed (Gaussian, sigma 1/32 of the side), reduced to {SIDE_PX} px; the best of"
    " all shifts up to 1/16 of the side, brightness and contrast set aside"
)
_CHUNK = 4_000_000
_MAX_FILMS = 1 << 14
"""So many films are prepared for comparison at a time."""
_FLAT = np.float32(1e-3)


def choose_film_side(side: int) -> int:
    """The side in px of the films to compare with images of `side` px; includes all films of FROM_PX or more."""
    return min(side, FROM_PX)


def smooth_and_reduce(pixels: UInt8) -> Float32:
    """Smooth images uint8 [n, R, R] and reduce them to at most SIDE_PX, float32 in [0, 1]."""
    unit = _reduce_to(pixels.astype(np.float32) / np.float32(255), FROM_PX)
    sigma = unit.shape[1] * SMOOTHING_SHARE
    return _reduce_to(gaussian_filter(unit, (0, sigma, sigma)), SIDE_PX)


def find_nearest(*, queries: Float32, references: Float32, groups: Groups | None = None) -> Neighbours:
    """Find the nearest of `references` [m, side, side] to each of `queries` [n, side, side].

    Both come from `smooth_and_reduce`. `groups` exclude references of the query's own group, as in
    `nearest_neighbours.find_nearest`.
    """

    def find_in_block(block: slice) -> Neighbours:
        block_groups = None if groups is None else (groups[0], groups[1][block])
        return PixelIndex.build(references[block]).find_nearest(queries, block_groups)

    return nearest_neighbours.find_in_blocks(len(references), _MAX_FILMS, find_in_block)


@dataclasses.dataclass(frozen=True)
class PixelIndex:
    """Films prepared for comparison: `frames` float32 [m, side * side] in [0, 1], and the `lengths` of their windows.

    `lengths` [shifts, m] holds the length of each window after its mean is subtracted. A flat window has an infinite
    length, so it resembles nothing.
    """

    frames: Float32
    lengths: Float32
    side: int
    shift: int

    @classmethod
    def build(cls, films: Float32) -> PixelIndex:
        """Index films [m, side, side] from `smooth_and_reduce`."""
        if not len(films):
            raise DataError("there are no films to compare images with")
        side = films.shape[1]
        shift = max(1, round(side * SHIFT_SHARE))
        lengths = np.stack([_measure_windows(films, corner, side - 2 * shift) for corner in _list_shifts(shift)])
        return cls(films.reshape(len(films), -1), lengths, side, shift)

    def find_nearest(self, queries: Float32, groups: Groups | None = None) -> Neighbours:
        """The nearest film of each image [n, side, side] from `smooth_and_reduce`; DataError for another side.

        The distance is infinite where all films are of the group of the image.
        """
        if queries.shape[1] != self.side:
            raise DataError(f"images of {queries.shape[1]} px cannot be compared with films of {self.side} px")
        step = self._count_queries_per_chunk()
        starts: Iterable[int] = range(0, len(queries), step)
        if len(queries) > step:  # not for the single image that a copy filter measures
            starts = track(starts, "nearest films in pixels", unit="blocks")
        parts = []
        for start in starts:
            correlation = self._correlate(queries[start : start + step])
            if groups is not None:
                correlation[groups[0][start : start + step, None] == groups[1][None]] = -np.inf
            parts.append(_select_best(correlation))
        return Neighbours(
            distance=np.concatenate([part.distance for part in parts]),
            index=np.concatenate([part.index for part in parts]),
        )

    def _count_queries_per_chunk(self) -> int:
        size_per_query = len(self.lengths) * (self.side**2 + len(self.frames))
        return max(1, _CHUNK // size_per_query)

    def _correlate(self, queries: Float32) -> Float32:
        """The correlation [n, m] of each image with each film at the best shift."""
        products = (self._place_at_shifts(queries) @ self.frames.T).reshape(len(queries), len(self.lengths), -1)
        products /= self.lengths
        correlation: Float32 = products.max(axis=1)
        return correlation

    def _place_at_shifts(self, queries: Float32) -> Float32:
        """The inner window of each image at every shift in an empty frame, [n * shifts, side * side]."""
        width = self.side - 2 * self.shift
        inner = queries[:, self.shift : -self.shift, self.shift : -self.shift]
        inner = inner - inner.mean(axis=(1, 2), keepdims=True)
        inner /= np.maximum(np.sqrt((inner**2).sum(axis=(1, 2), keepdims=True)), _FLAT)
        frames = np.zeros((len(queries), len(self.lengths), self.side, self.side), dtype=np.float32)
        for number, (down, right) in enumerate(_list_shifts(self.shift)):
            frames[:, number, down : down + width, right : right + width] = inner
        return frames.reshape(-1, self.side**2)


def _reduce_to(unit: Float32, side: int) -> Float32:
    if unit.shape[1] <= side:
        return unit
    return np.stack([images.resize(image, side) for image in unit])


def _select_best(correlation: Float32) -> Neighbours:
    """The nearest film of each image by correlation [n, m], of which -inf is no film to compare with."""
    index = correlation.argmax(axis=1)
    best = correlation[np.arange(len(index)), index].astype(np.float64)
    return Neighbours(np.sqrt(np.maximum(2 - 2 * best, 0)), index.astype(np.int64))


def _list_shifts(shift: int) -> list[tuple[int, int]]:
    """The top left corners (down, right) of the window, those nearest to the centre first."""
    steps = range(2 * shift + 1)
    return sorted(
        itertools.product(steps, steps), key=lambda corner: max(abs(corner[0] - shift), abs(corner[1] - shift))
    )


def _measure_windows(films: Float32, corner: tuple[int, int], width: int) -> Float32:
    """The length [m] of each film's window after its mean is subtracted; infinite for a flat window."""
    down, right = corner
    window = films[:, down : down + width, right : right + width].astype(np.float64)
    length = np.sqrt(((window - window.mean(axis=(1, 2), keepdims=True)) ** 2).sum(axis=(1, 2)))
    return np.where(length > _FLAT, length, np.inf).astype(np.float32)
