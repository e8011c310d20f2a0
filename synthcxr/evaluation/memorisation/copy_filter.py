"""Keeps copies of training films out of a generated dataset, with the pixel index that `evaluate` also uses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.data.films import GAN_TRAINING_SPLITS, HELD_OUT_SPLITS
from synthcxr.data.images import UInt8
from synthcxr.data.minimum_films import MIN_FILMS_FOR_DISTANCE
from synthcxr.errors import DataError
from synthcxr.evaluation.memorisation import nearest_neighbour_test, pixel_index
from synthcxr.evaluation.memorisation.pixel_index import PixelIndex
from synthcxr.model_files.onnx_metadata import ModelMetadata

N_DECIMALS = 6


def prepare_copy_filter(films: Path) -> Callable[[ModelMetadata], PixelCopyFilter]:
    """A function that builds the filter for a generator from the packed films that the generator was trained on."""
    return lambda generator: PixelCopyFilter.build(
        films, resolution=generator.resolution, training_data=generator.training_data
    )


@dataclasses.dataclass(frozen=True)
class PixelCopyFilter:
    """An index of a generator's training films, and the distance below which an image counts as a copy.

    `threshold` is the 1st percentile of the same distance for held-out films; 1 % of the images that copy nothing are
    below it. `fingerprint` identifies the films.
    """

    index: PixelIndex
    threshold: float
    fingerprint: str

    @classmethod
    def build(cls, path: Path, *, resolution: int, training_data: str) -> PixelCopyFilter:
        """Index packed films for images of this resolution; DataError unless the model was trained on these films."""
        films = open_film_dataset(path)
        if films.fingerprint != training_data:
            raise DataError(
                f"{films.path}: contains the films {films.fingerprint}, but the model was trained on {training_data};"
                " give the packed films that it was trained on"
            )
        side = pixel_index.choose_film_side(resolution)
        training_pixels, _ = films.images(side, GAN_TRAINING_SPLITS)
        held_out_pixels, _ = films.images(side, HELD_OUT_SPLITS)
        if len(held_out_pixels) < MIN_FILMS_FOR_DISTANCE:
            raise DataError(
                f"{films.path}: {len(held_out_pixels)} held-out films are too few to set the threshold, at least"
                f" {MIN_FILMS_FOR_DISTANCE} are necessary; increase prepare.shares.val or prepare.shares.test"
            )
        index = PixelIndex.build(pixel_index.smooth_and_reduce(training_pixels))
        null = index.find_nearest(pixel_index.smooth_and_reduce(held_out_pixels)).distance
        threshold = nearest_neighbour_test.weighted_quantile(null, nearest_neighbour_test.FLAG_LEVEL)
        return cls(index=index, threshold=threshold, fingerprint=films.fingerprint)

    def measure_distances(self, pixels: UInt8) -> NDArray[np.float64]:
        """The distance of each image uint8 [n, R, R] to its nearest film, rounded to N_DECIMALS.

        Images are compared one at a time, so a distance does not depend on the batch.
        """
        distances = np.empty(len(pixels))
        for row, image in enumerate(pixels):
            nearest = self.index.find_nearest(pixel_index.smooth_and_reduce(image[None]))
            distances[row] = round(float(nearest.distance[0]), N_DECIMALS)
        return distances
