"""The shipped metrics: value, interval and films, from blocks of images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from support.paths import REPOSITORY

from synthcxr.evaluation.declared_metrics import METRICS
from synthcxr.evaluation.features import extractors
from synthcxr.evaluation.gates import describe_metrics
from synthcxr.evaluation.image_sets import space_evenly
from synthcxr.evaluation.metric import ImageGroup, MetricValue, NotComputable


def group_levels(levels: NDArray[np.uint8]) -> ImageGroup:
    """Images of 4 x 4 px, each of one grey level, in blocks of 10."""

    def iterate_pixels(max_images: int) -> Iterator[NDArray[np.uint8]]:
        rows = levels[space_evenly(len(levels), max_images)]
        for start in range(0, len(rows), 10):
            yield np.broadcast_to(rows[start : start + 10, None, None], (len(rows[start : start + 10]), 4, 4))

    return ImageGroup(len(levels), iterate_pixels, np.zeros((len(levels), 14), np.float32), {})


def compute(name: str, images: ImageGroup, films: ImageGroup | None) -> MetricValue | NotComputable:
    return METRICS.load(name).compute(images, films, np.random.default_rng(0))


def test_brightness_is_the_mean_of_all_blocks() -> None:
    """Half of 60 images black and half white: one half, with the interval of the mean, beside films at a fifth."""
    result = compute("brightness", group_levels(np.repeat(np.array([0, 255], np.uint8), 30)),
                     group_levels(np.full(50, 51, np.uint8)))  # fmt: skip
    assert isinstance(result, MetricValue)
    margin = 1.96 * np.sqrt(0.25 * 60 / 59) / np.sqrt(60)
    assert result.value == pytest.approx(0.5)
    assert result.interval == pytest.approx((0.5 - margin, 0.5 + margin), abs=1e-4)
    assert result.films == pytest.approx(0.2)
    assert result.n == 60


def test_many_images_are_sampled_from_first_to_last() -> None:
    """Of 9,000 images whose level rises, 2,000 are used, and their mean is that of all."""
    levels = np.linspace(0, 255, 9000).round().astype(np.uint8)
    result = compute("brightness", group_levels(levels), None)
    assert isinstance(result, MetricValue)
    assert (result.n, result.films) == (2000, None)
    assert result.value == pytest.approx(levels.mean() / 255, abs=1e-3)


@pytest.mark.parametrize("name", ["brightness", "contrast", "sharpness"])
def test_few_images_have_no_value(name: str) -> None:
    """Below 50 images the metric is not applicable, with the number."""
    assert compute(name, group_levels(np.zeros(49, np.uint8)), None) == NotComputable("n = 49")


def test_the_documentation_names_every_metric_and_extractor() -> None:
    """docs/evaluate.md explains those of synthcxr, and a gate may name them."""
    page = (REPOSITORY / "docs/evaluate.md").read_text(encoding="utf-8")
    known = describe_metrics(extractors.list_extractors())
    for name in ("brightness", "contrast", "sharpness"):
        assert f"`{name}`" in page
        assert f"metrics.{name}.value" in known
    for name in (extractors.JUDGE, "efficientnet-lite0", "inception"):
        assert f"`{name}`" in page
        assert f"distance.{name}.relative" in known
