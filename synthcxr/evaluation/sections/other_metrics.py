"""The section "metrics" of metrics.json: the metrics that are declared one by one, also by installed packages."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.films import TEST_SPLITS
from synthcxr.data.metrics_rows import MetricRow
from synthcxr.data.metrics_schema import COMPUTED, not_applicable
from synthcxr.data.minimum_films import MIN_FILMS_FOR_DISTANCE
from synthcxr.errors import ExtensionError
from synthcxr.evaluation.comparison import Comparison, ComparisonFeatures, open_purpose_stream
from synthcxr.evaluation.declared_metrics import METRICS
from synthcxr.evaluation.image_sets import SyntheticSet
from synthcxr.evaluation.metric import ImageGroup, Metric, MetricValue, NotComputable


def compare_with_films(comparison: Comparison, features: Mapping[str, ComparisonFeatures]) -> dict[str, MetricRow]:
    """Compute every metric for the images and the test films that meet their request."""
    images = _group_images(comparison.synthetic, {name: row.synthetic for name, row in features.items()})
    patients = comparison.real.patients(TEST_SPLITS)
    films = None
    if len(patients) >= MIN_FILMS_FOR_DISTANCE:
        films = ImageGroup(
            n=len(patients),
            iterate_pixels=functools.partial(comparison.real.iterate_pixels, TEST_SPLITS),
            findings=comparison.real.films.findings(comparison.real.manifest_rows(TEST_SPLITS)),
            features={name: row.test for name, row in features.items()},
            patients=patients,
        )
    return _compute_rows(images, films, comparison.rng, n_films=len(patients))


def compute_without_films(
    synthetic: SyntheticSet, features: Mapping[str, NDArray[np.float32]], *, seed: int
) -> dict[str, MetricRow]:
    """Compute the metrics that need no films; `features` are those of the images by extractor."""
    return _compute_rows(
        _group_images(synthetic, features), None, functools.partial(open_purpose_stream, seed), n_films=0
    )


def _group_images(synthetic: SyntheticSet, features: Mapping[str, NDArray[np.float32]]) -> ImageGroup:
    return ImageGroup(
        n=len(synthetic.file_names),
        iterate_pixels=synthetic.iterate_pixels,
        findings=synthetic.labels.astype(np.float32),
        features=features,
    )


def _compute_rows(
    images: ImageGroup, films: ImageGroup | None, open_rng: Callable[[str], np.random.Generator], *, n_films: int
) -> dict[str, MetricRow]:
    rows = {}
    for metric in METRICS.load_all():
        row = MetricRow(status=COMPUTED, meaning=metric.meaning, n=images.n, n_films=n_films)
        if metric.needs_films and films is None:
            row["status"] = not_applicable(f"n = {n_films} films")
        else:
            row |= _describe_result(metric, metric.compute(images, films, open_rng(f"metric {metric.name}")))
        rows[metric.name] = row
    return rows


def _describe_result(metric: Metric, result: object) -> MetricRow:
    """The part of a row that the result of a metric determines; ExtensionError for anything but a finite number."""
    if isinstance(result, NotComputable):
        return MetricRow(status=not_applicable(result.reason))
    if not isinstance(result, MetricValue) or not _is_finite(result):
        packages = " ".join(" ".join(item) for item in METRICS.package_version(metric.name).items())
        raise ExtensionError(
            f"metric {metric.name!r} of {packages or 'synthcxr'} returned {result!r}, which is neither a MetricValue"
            " of finite numbers nor NotComputable; upgrade or uninstall the package"
        )
    row = MetricRow(status=COMPUTED, value=float(result.value))
    if result.interval is not None:
        row["interval"] = [float(bound) for bound in result.interval]
    if result.films is not None:
        row["films"] = float(result.films)
    if result.n is not None:
        row["n"] = int(result.n)
    return row


def _is_finite(result: MetricValue) -> bool:
    """Whether the value is a number, and the interval and the value of films too, where there are any."""
    numbers = [result.value, *(result.interval or ()), *([] if result.films is None else [result.films])]
    return len(result.interval or (0, 0)) == 2 and all(
        isinstance(number, int | float | np.number) and math.isfinite(number) for number in numbers
    )
