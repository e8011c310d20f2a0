"""The metrics that are declared one by one: those of synthcxr, and those of installed packages."""

from __future__ import annotations

from synthcxr.evaluation.metric import Metric
from synthcxr.evaluation.metrics import image_statistics
from synthcxr.project import extensions
from synthcxr.project.extensions import Extensions

METRICS = Extensions(
    extensions.METRICS,
    Metric,
    (
        Metric.of_each_image(
            "brightness", "mean grey level of an image, as a share of white", image_statistics.measure_brightness
        ),
        Metric.of_each_image(
            "contrast",
            "standard deviation of the pixels of an image, as a share of white",
            image_statistics.measure_contrast,
        ),
        Metric.of_each_image(
            "sharpness",
            "difference of neighbouring pixels, relative to the contrast of the image",
            image_statistics.measure_sharpness,
        ),
    ),
)
