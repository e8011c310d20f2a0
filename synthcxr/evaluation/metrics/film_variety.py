"""How much real films resemble each other, as numbers that a model can carry to where there are no films."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthcxr.data.minimum_films import MIN_FILMS_FOR_DISTANCE
from synthcxr.evaluation.metrics import near_duplicates

Float32 = NDArray[np.float32]
_ARRAY = "film_variety"


@dataclasses.dataclass(frozen=True)
class FilmVariety:
    """The median correlation of `n` films with the film of another patient most like them, and how many are duplicates.

    These are numbers without pixels, which a model can carry.
    """

    correlation: float
    near_duplicates: float
    n: int

    @classmethod
    def measure(cls, squares: Float32, patients: NDArray[np.object_]) -> FilmVariety | None:
        """Measure films reduced to [n, side, side]; None for fewer than a comparison needs, or for one patient."""
        if len(squares) < MIN_FILMS_FOR_DISTANCE or len(set(patients)) < 2:
            return None
        nearest = near_duplicates.find_nearest_correlations(squares, patients)
        share = near_duplicates.is_near_duplicate(nearest).mean()
        return cls(float(np.nanmedian(nearest)), float(share), len(squares))

    def to_arrays(self) -> dict[str, ArrayLike]:
        """The arrays of an .npz file."""
        return {_ARRAY: np.array([self.correlation, self.near_duplicates, self.n], np.float64)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> FilmVariety | None:
        """From the arrays of `to_arrays`; None where the file has none."""
        if _ARRAY not in arrays:
            return None
        correlation, share, n = arrays[_ARRAY].astype(np.float64).tolist()
        return cls(correlation, share, int(n))
