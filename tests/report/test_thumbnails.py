"""Thumbnails."""

from __future__ import annotations

import numpy as np
import pytest
from support.report_project import decode_data_uri

from synthcxr.report.thumbnails import build_thumbnail


@pytest.mark.parametrize(("side", "expected"), [(1024, 128), (192, 192), (64, 64)])
def test_large_images_are_reduced(side: int, expected: int) -> None:
    """A grid of large images does not make a page of many megabytes; small images keep their size."""
    thumbnail = build_thumbnail(np.zeros((side, side), np.uint8), alt="a", caption="b")
    assert decode_data_uri(thumbnail.source).shape == (expected, expected)
