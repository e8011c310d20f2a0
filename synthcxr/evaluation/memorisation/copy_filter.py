"""What keeps memorised images out of a dataset: the pixel index of `privacy`, asked one candidate at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import film_dataset as datasets
from synthcxr.data.images import UInt8
from synthcxr.errors import DataError
from synthcxr.evaluation.memorisation import nearest_neighbour_test, pixel_index
from synthcxr.evaluation.memorisation.pixel_index import PixelIndex
from synthcxr.model_files.onnx_metadata import Contract

LEARNED, HELD_OUT = ("train", "judge"), ("val", "test")
MIN_FILMS = 50
DECIMALS = 6


def keeper(data: Path) -> Callable[[Contract], Memorised]:
    """What makes the index for a generator, from the packed films that it learned from."""
    return lambda made: Memorised.of(data, resolution=made.resolution, training_data=made.training_data)


@dataclasses.dataclass(frozen=True)
class Memorised:
    """The films that a generator learned from, and the distance below which an image counts as a copy of one.

    `threshold` is the 1st percentile of the same distance for held-out films: of images that copy nothing one in a
    hundred falls below it. `fingerprint` names the films.
    """

    index: PixelIndex
    threshold: float
    fingerprint: str

    @classmethod
    def of(cls, data: Path, *, resolution: int, training_data: str) -> Memorised:
        """Index packed films for images of this size; DataError unless the model learned from these very films."""
        films = datasets.open_dataset(data)
        if films.fingerprint != training_data:
            raise DataError(
                f"{films.path}: holds films {films.fingerprint}, the model learned from {training_data};"
                " give the packed films that it was trained on"
            )
        side = pixel_index.packed_side(resolution)
        learned, _ = films.images(side, LEARNED)
        held_out, _ = films.images(side, HELD_OUT)
        if len(held_out) < MIN_FILMS:
            raise DataError(
                f"{films.path}: {len(held_out)} held-out films are too few to say what is near, {MIN_FILMS} are needed;"
                " raise prepare.shares.val or prepare.shares.test"
            )
        index = PixelIndex.build(pixel_index.reduced(learned))
        null = index.nearest(pixel_index.reduced(held_out)).distance
        return cls(index, nearest_neighbour_test.quantile(null, nearest_neighbour_test.LEVEL), films.fingerprint)

    def distances(self, pixels: UInt8) -> NDArray[np.float64]:
        """The distance of each of uint8 [n, R, R] to its nearest film, rounded; whatever stands beside it."""
        each = [float(self.index.nearest(pixel_index.reduced(image[None])).distance[0]) for image in pixels]
        return np.array([round(distance, DECIMALS) for distance in each], dtype=np.float64)
