"""Find films that show the same picture: copies under another name, in another format, of another size or source.

Two films are the same if their smallest packed squares (4 x 4 px) are equal, or if their squares at the largest side
that both have, 16 to 64 px, differ by less than MAX_DIFFERENCE after brightness and contrast are set aside. `leakage`
recognises films by the first rule, because digests of squares show nothing of a film.

MAX_DIFFERENCE, by side, is a share of the contrast of a film. Measured on 10,868 films of NIH ChestX-ray14 at 64 px:
0.01 to 0.08 for JPEG of quality 95 to 30, other sizes and gamma 0.9 to 1.2; at least 0.21 for films that differ (0.19
at 32 px, 0.15 at 16 px), of 59 million pairs. Drawn films are more alike: at least 0.11 at 32 px and 0.15 at 64 px.
Films are compared in full only if they are among the NEIGHBOURS most similar ones at 4 px.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.images import Float32, UInt8
from synthcxr.data.pyramid import SMALLEST_SIDE, list_packed_sides, name_array_file
from synthcxr.storage import numpy_files
from synthcxr.storage.cores import count_usable_cores
from synthcxr.storage.numpy_files import ArrayType
from synthcxr.storage.progress import track

MAX_DIFFERENCE = {16: 0.04, 32: 0.06, 64: 0.10}
NEIGHBOURS = 16
_MAX_DIFFERENCE_AT_4_PX = 0.10
_PAIRS_PER_CHUNK = 1024
_POINTS_PER_CHUNK = 4096

Int64 = NDArray[np.int64]


def find_same_films(folder: Path, resolution: int) -> list[tuple[int, ...]]:
    """Find the groups of films with the same picture among packed images: ascending rows, in the order of the first.

    A film without contrast is the same as no other.
    """
    stacks = {
        side: _Images(folder, side)
        for side in list_packed_sides(resolution)
        if side in {SMALLEST_SIDE, *MAX_DIFFERENCE}
    }
    smallest = np.asarray(stacks[SMALLEST_SIDE].pixels)
    pairs = np.concatenate([_pair_equal_films(smallest), *_pair_similar_films(smallest, stacks)])
    return _group_rows(pairs, len(smallest))


def has_contrast(squares: UInt8) -> NDArray[np.bool_]:
    """Which of the squares [n, side, side] have more than one grey level."""
    return np.asarray(squares.min(axis=(1, 2)) < squares.max(axis=(1, 2)))


class _Images:
    """The images of one side, on disk, and their manifest rows."""

    def __init__(self, folder: Path, side: int) -> None:
        self.rows: Int64 = numpy_files.read_npy(folder / name_array_file("rows", side), ArrayType("i", (None,)))
        images = folder / name_array_file("images", side)
        self.pixels: UInt8 = numpy_files.read_npy(images, ArrayType("u", (None, side, side)), memory_map=True)

    def normalise(self, rows: Int64) -> Float32:
        """The images of these manifest rows with mean 0 and length 1."""
        return _normalise(np.asarray(self.pixels[np.searchsorted(self.rows, rows)]))


def _normalise(squares: UInt8) -> Float32:
    """Bring squares [n, side, side] to mean 0 and length 1, [n, side * side]; zeros for one without contrast."""
    unit = squares.reshape(len(squares), -1).astype(np.float32)
    unit -= unit.mean(axis=1, keepdims=True)
    length = np.sqrt((unit**2).sum(axis=1, keepdims=True))
    return np.asarray(unit / np.maximum(length, np.float32(1e-3)))


def _pair_equal_films(smallest: UInt8) -> Int64:
    """Pair each film with the first film whose smallest square is equal, [k, 2]."""
    rows = np.flatnonzero(has_contrast(smallest))
    _, first, group = np.unique(smallest[rows].reshape(len(rows), -1), axis=0, return_index=True, return_inverse=True)
    pairs = np.stack([rows[first[group.reshape(-1)]], rows], axis=1)
    return np.asarray(pairs[pairs[:, 0] != pairs[:, 1]], dtype=np.int64)


def _pair_similar_films(smallest: UInt8, stacks: dict[int, _Images]) -> Iterator[Int64]:
    """Yield pairs [k, 2] of films that differ by less than MAX_DIFFERENCE at the largest compared side of both."""
    largest_side = np.zeros(len(smallest), dtype=np.int64)
    for side in sorted(set(stacks) & set(MAX_DIFFERENCE)):
        largest_side[stacks[side].rows] = side
    rows = np.flatnonzero((largest_side > 0) & has_contrast(smallest))
    if len(rows) < 2:
        return
    candidates = rows[_pair_neighbours(_normalise(smallest[rows]))]
    common_side = largest_side[candidates].min(axis=1)
    for side in np.unique(common_side):
        pairs = candidates[common_side == side]
        starts = range(0, len(pairs), _PAIRS_PER_CHUNK)
        for start in track(starts, f"same pictures at {side} px", unit="blocks"):
            chunk = pairs[start : start + _PAIRS_PER_CHUNK]
            first, second = (stacks[int(side)].normalise(chunk[:, column]) for column in (0, 1))
            yield chunk[np.sqrt(((first - second) ** 2).sum(axis=1)) < MAX_DIFFERENCE[int(side)]]


def _pair_neighbours(points: Float32) -> Int64:
    """Pair each point with the nearest others within _MAX_DIFFERENCE_AT_4_PX: ascending indices [k, 2]."""
    from scipy.spatial import KDTree  # takes a second to import, which `generate` does not need

    n = len(points)
    tree, n_neighbours, n_cores = KDTree(points), min(NEIGHBOURS + 1, n), count_usable_cores()
    parts = [
        tree.query(
            points[start : start + _POINTS_PER_CHUNK],
            k=n_neighbours,
            distance_upper_bound=_MAX_DIFFERENCE_AT_4_PX,
            workers=n_cores,
        )[1]
        for start in track(range(0, n, _POINTS_PER_CHUNK), "similar films", unit="blocks")
    ]
    index = np.concatenate(parts)
    first = np.repeat(np.arange(n), index.shape[1])
    pairs = np.sort(np.stack([first, index.reshape(-1)], axis=1), axis=1)
    return np.unique(pairs[(pairs[:, 1] < n) & (pairs[:, 0] < pairs[:, 1])], axis=0).astype(np.int64)


def _group_rows(pairs: Int64, n: int) -> list[tuple[int, ...]]:
    """Group rows that pairs connect, directly or over other rows."""
    from scipy import sparse
    from scipy.sparse import csgraph

    graph = sparse.coo_array((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, component = csgraph.connected_components(graph, directed=False)
    groups: dict[int, list[int]] = {}
    for row in np.unique(pairs):
        groups.setdefault(int(component[row]), []).append(int(row))
    return [tuple(group) for group in sorted(groups.values())]
