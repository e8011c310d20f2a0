"""The metrics that are declared one by one: those of synthcxr, and those of installed packages."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.minimum_films import MIN_FILMS_FOR_DISTANCE
from synthcxr.evaluation.metric import ImageGroup, Metric, MetricValue, NotComputable
from synthcxr.evaluation.metrics import bootstrap, image_statistics
from synthcxr.project import extensions
from synthcxr.project.extensions import Extensions

_MAX_IMAGES = 2000
"""Statistics of single images use at most this many, evenly spaced; their intervals are then narrow."""


def _compute_mean(
    measure: Callable[[NDArray[np.uint8]], NDArray[np.float64]],
    images: ImageGroup,
    films: ImageGroup | None,
    _rng: np.random.Generator,
) -> MetricValue | NotComputable:
    """The mean of a value per image, with its normal interval, and the mean of films."""
    if images.n < MIN_FILMS_FOR_DISTANCE:
        return NotComputable(f"n = {images.n}")
    values = _measure_all(measure, images)
    mean, margin = float(values.mean()), float(bootstrap.Z * values.std(ddof=1) / math.sqrt(len(values)))
    film_mean = None if films is None else float(_measure_all(measure, films).mean())
    return MetricValue(mean, (mean - margin, mean + margin), film_mean, n=len(values))


def _measure_all(measure: Callable[[NDArray[np.uint8]], NDArray[np.float64]], group: ImageGroup) -> NDArray[np.float64]:
    return np.concatenate([measure(pixels) for pixels in group.iterate_pixels(_MAX_IMAGES)])


METRICS = Extensions(
    extensions.METRICS,
    Metric,
    (
        Metric(
            "brightness",
            "mean grey level of an image, as a share of white",
            functools.partial(_compute_mean, image_statistics.measure_brightness),
        ),
        Metric(
            "contrast",
            "standard deviation of the pixels of an image, as a share of white",
            functools.partial(_compute_mean, image_statistics.measure_contrast),
        ),
        Metric(
            "sharpness",
            "difference of neighbouring pixels, relative to the contrast of the image",
            functools.partial(_compute_mean, image_statistics.measure_sharpness),
        ),
    ),
)
