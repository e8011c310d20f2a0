from __future__ import annotations

import numpy as np
import pytest

from synthcxr.evaluation.metrics import bootstrap


def test_films_of_a_patient_are_resampled_together() -> None:
    """All films of a patient get the same weight, and the weights of the patients sum to their number."""
    patients = np.array(["b", "a", "b", "c", "a", "b"], dtype=object)
    for seed in range(5):
        weights = bootstrap.resample_patients(patients, np.random.default_rng(seed))
        weights_by_patient = [set(weights[patients == patient]) for patient in "abc"]
        assert all(len(distinct) == 1 for distinct in weights_by_patient)
        assert sum(next(iter(distinct)) for distinct in weights_by_patient) == 3


def test_images_are_resampled_one_by_one() -> None:
    """As many images as there are, with replacement."""
    weights = bootstrap.resample_images(100, np.random.default_rng(0))
    assert weights.sum() == 100
    assert 50 < (weights > 0).sum() < 80


def test_centred_intervals_contain_the_value_for_biased_draws() -> None:
    """Draws that are all above the value still give an interval around it, with their spread and not below 0."""
    draws = 50 + np.random.default_rng(0).standard_normal(4000)
    low, high = bootstrap.centred_interval(10.0, draws)
    assert (low, high) == pytest.approx((10 - 1.96, 10 + 1.96), abs=0.15)
    assert bootstrap.centred_interval(1.0, draws)[0] == 0


def test_centred_ratio_intervals_scale_with_the_value() -> None:
    """On the log scale the same draws give the same relative width around any value."""
    draws = np.exp(np.random.default_rng(0).standard_normal(4000) * 0.1 + 3)
    low, high = bootstrap.centred_ratio_interval(2.0, draws)
    assert (low, high) == pytest.approx((2 * np.exp(-0.196), 2 * np.exp(0.196)), rel=0.02)
    assert bootstrap.centred_ratio_interval(4.0, draws) == pytest.approx((2 * low, 2 * high))
