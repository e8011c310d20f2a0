"""The declaration of a metric: a number about the images of a dataset, beside the same number for films."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.minimum_films import MIN_FILMS_FOR_DISTANCE
from synthcxr.data.share_interval import NORMAL_QUANTILE

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
_MAX_IMAGES = 2000


@dataclasses.dataclass(frozen=True)
class ImageGroup:
    """The images of a dataset, or the test films that they are compared with.

    `iterate_pixels(k)` yields the pixels in blocks uint8 [b, R, R]: those of all `n` images, or of k evenly spaced ones
    if there are more. `findings` are the labels, float32 [n, 14] in the order of the NIH, NaN where unknown: of images
    by the classifier, of films by their source. `features` are those of each available extractor by name, float32
    [n, d], read-only. `patients` are the patients of films; images have none.
    """

    n: int
    iterate_pixels: Callable[[int], Iterator[UInt8]]
    findings: Float32
    features: Mapping[str, Float32]
    patients: NDArray[np.object_] | None = None


@dataclasses.dataclass(frozen=True)
class MetricValue:
    """The value of a metric with its 95 % interval, and the value of films; None where there is none.

    `n` is the number of images that it was computed from, if these are not all.
    """

    value: float
    interval: tuple[float, float] | None = None
    films: float | None = None
    n: int | None = None


@dataclasses.dataclass(frozen=True)
class NotComputable:
    """Why a metric has no value for these images, such as "n = 1": its gates are then not applicable."""

    reason: str


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric, which gates name as `metrics.NAME.value`.

    `meaning` is what the report and the gates call it, such as "mean grey level of an image". `compute` gets the
    images, the test films (None where there are none) and a random stream of its own. With `needs_films`, the metric is
    not applicable to images that are compared with fewer than 50 films.
    """

    name: str
    meaning: str
    compute: Callable[[ImageGroup, ImageGroup | None, np.random.Generator], MetricValue | NotComputable]
    needs_films: bool = False

    @classmethod
    def of_each_image(cls, name: str, meaning: str, measure: Callable[[UInt8], Float64]) -> Metric:
        """Declare the mean of a value that `measure` gives for each image of [n, R, R], float64 [n].

        Its interval is the normal one. At most 2,000 images, evenly spaced, are measured.
        """
        return cls(name, meaning, functools.partial(_compute_mean, measure))


def _compute_mean(
    measure: Callable[[UInt8], Float64], images: ImageGroup, films: ImageGroup | None, _rng: np.random.Generator
) -> MetricValue | NotComputable:
    """The mean of a value per image, with its interval, and the mean of films."""
    if images.n < MIN_FILMS_FOR_DISTANCE:
        return NotComputable(f"n = {images.n}")
    values = _measure_all(measure, images)
    mean, margin = float(values.mean()), float(NORMAL_QUANTILE * values.std(ddof=1) / math.sqrt(len(values)))
    film_mean = None if films is None else float(_measure_all(measure, films).mean())
    return MetricValue(mean, (mean - margin, mean + margin), film_mean, n=len(values))


def _measure_all(measure: Callable[[UInt8], Float64], group: ImageGroup) -> Float64:
    return np.concatenate([measure(pixels) for pixels in group.iterate_pixels(_MAX_IMAGES)])
