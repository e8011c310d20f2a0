from __future__ import annotations

import numpy as np
import pytest

from synthcxr.evaluation.metrics.effective_sample_size import effective_sample_size


def test_known_values() -> None:
    """Equal weights count in full, one dominant weight counts as one image, and weights of 0 as none."""
    assert effective_sample_size([0.3] * 50) == pytest.approx(50)
    assert effective_sample_size([1.0] + [1e-12] * 999) == pytest.approx(1)
    assert effective_sample_size([2, 2, 0, 0]) == pytest.approx(2)
    assert effective_sample_size([3, 1]) == pytest.approx(1.6)


def test_tiny_weights_do_not_underflow() -> None:
    """The size depends on the ratios of weights alone."""
    weights = np.array([1.0, 2.0, 5.0])
    assert effective_sample_size(1e-200 * weights) == pytest.approx(effective_sample_size(weights))
