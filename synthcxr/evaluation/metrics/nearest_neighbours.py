"""The exact nearest neighbour of each row of features, in float64 and in bounded memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcxr.errors import DataError

Float64 = NDArray[np.float64]
Groups = tuple[NDArray[Any], NDArray[Any]]
"""The group (usually the patient) of each query and of each reference row."""

NO_OTHER_PATIENT = "an image has no film of another patient to compare with; add films of other patients"
_CHUNK, _MAX_ROWS = 2_000_000, 2048
_MAX_NUMBERS = 1 << 24
"""The most numbers of the reference rows that are in memory at a time: 128 MB, and twice as much for a moment."""


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """For each query the distance to its nearest reference row, float64 [n], and that row's index, int64 [n]."""

    distance: Float64
    index: NDArray[np.int64]


def find_nearest(*, queries: ArrayLike, references: ArrayLike, groups: Groups | None = None) -> Neighbours:
    """Find the row of `references` [m, d] that is nearest to each of `queries` [n, d] (Euclidean distance).

    With `groups` a query is not compared with rows of its own group, for example a film with films of the same
    patient. Raises DataError if a query then has no row to compare with.
    """
    rows = np.asarray(references)

    def find_in_block(block: slice) -> Neighbours:
        block_groups = None if groups is None else (groups[0], groups[1][block])
        return _find_nearest_in_block(queries, rows[block], block_groups)

    return find_in_blocks(len(rows), _MAX_NUMBERS // max(1, rows[0].size if len(rows) else 1), find_in_block)


def find_in_blocks(n: int, n_rows: int, find: Callable[[slice], Neighbours]) -> Neighbours:
    """Join what `find` gives for blocks of at most `n_rows` of `n` reference rows: indices in the block, and inf where
    a query has no row in it to compare with.

    The first of equally near rows counts. Raises DataError if a query has no row in any block.
    """
    nearest: Neighbours | None = None
    for start in range(0, max(1, n), max(1, n_rows)):
        part = find(slice(start, start + max(1, n_rows)))
        if nearest is None:
            nearest = part
        else:
            is_nearer = part.distance < nearest.distance
            nearest = Neighbours(
                np.where(is_nearer, part.distance, nearest.distance),
                np.where(is_nearer, part.index + start, nearest.index),
            )
    assert nearest is not None
    if not np.isfinite(nearest.distance).all():
        raise DataError(NO_OTHER_PATIENT)
    return nearest


def _find_nearest_in_block(queries: ArrayLike, references: ArrayLike, groups: Groups | None) -> Neighbours:
    distance, index, start = [], [], 0
    for block in pairwise_distances(queries, references):
        if groups is not None:
            same_group = groups[0][start : start + len(block), None] == groups[1][None]
            block = np.where(same_group, np.inf, block)
        index.append(block.argmin(axis=1))
        distance.append(block[np.arange(len(block)), index[-1]])
        start += len(block)
    return Neighbours(np.concatenate(distance), np.concatenate(index).astype(np.int64))


def pairwise_distances(queries: ArrayLike, references: ArrayLike) -> Iterator[Float64]:
    """Yield the Euclidean distances [k, m] of the queries, in order, in blocks of k rows.

    Both sides are centred first, so that a small distance between long vectors keeps its precision.
    """
    a, b = np.asarray(queries), np.asarray(references)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or not len(a) or not len(b):
        raise DataError(f"features to compare: expected rows of one width, got {list(a.shape)} and {list(b.shape)}")
    middle = b.mean(axis=0, dtype=np.float64)
    b = np.subtract(b, middle, dtype=np.float64)
    squares, k = (b**2).sum(axis=1), min(max(1, _CHUNK // len(b)), _MAX_ROWS)
    for start in range(0, len(a), k):
        rows = a[start : start + k] - middle
        block = (rows**2).sum(axis=1)[:, None] + squares - 2 * (rows @ b.T)
        yield np.sqrt(np.maximum(block, 0))
