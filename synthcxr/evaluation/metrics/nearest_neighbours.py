"""The nearest neighbour of each row of features, exact, in float64 and in bounded memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcxr.errors import DataError

Float64 = NDArray[np.float64]
Groups = tuple[NDArray[np.object_], NDArray[np.object_]]

NO_OTHER_PATIENT = "an image has no film of another patient to be compared with; add films of other patients"
_CHUNK = 2_000_000


@dataclasses.dataclass(frozen=True)
class Nearest:
    """Of each query the distance to its nearest held row, float64 [n], and which that is, int64 [n]."""

    distance: Float64
    at: NDArray[np.int64]


def neighbours(*, queries: ArrayLike, held: ArrayLike, groups: Groups | None = None) -> Nearest:
    """The Euclidean nearest row of `held` [m, d] to each of `queries` [n, d].

    `groups` (of queries, of held rows) keep a query from rows of its own group: a film from films of its patient.
    Raises DataError where a query is left without any row.
    """
    distance, at, start = [], [], 0
    for block in distances(queries, held):
        if groups is not None:
            own = groups[0][start : start + len(block), None] == groups[1][None]
            block = np.where(own, np.inf, block)
        at.append(block.argmin(axis=1))
        distance.append(block[np.arange(len(block)), at[-1]])
        start += len(block)
    found = Nearest(np.concatenate(distance), np.concatenate(at).astype(np.int64))
    if not np.isfinite(found.distance).all():
        raise DataError(NO_OTHER_PATIENT)
    return found


def distances(queries: ArrayLike, held: ArrayLike) -> Iterator[Float64]:
    """Euclidean distances [k, m] of the queries, in order, a block of k rows at a time.

    Both sides are centred first, so that the square of a small distance is not lost in that of a long vector.
    """
    a, b = np.asarray(queries, dtype=np.float64), np.asarray(held, dtype=np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or not len(a) or not len(b):
        raise DataError(f"features to compare: expected rows of one width, found {list(a.shape)} and {list(b.shape)}")
    middle = b.mean(axis=0)
    a, b = a - middle, b - middle
    squares, k = (b**2).sum(axis=1), max(1, _CHUNK // len(b))
    for start in range(0, len(a), k):
        rows = a[start : start + k]
        block = (rows**2).sum(axis=1)[:, None] + squares - 2 * (rows @ b.T)
        yield np.sqrt(np.maximum(block, 0))
