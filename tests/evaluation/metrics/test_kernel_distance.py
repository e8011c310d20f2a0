from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import kernel_distance


def draw_features(n: int, d: int = 24, *, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)) + shift


def test_kernel_distance_equals_torch_fidelity_and_clean_fid(load_reference) -> None:
    """One subset of all rows equals the unbiased MMD of torch-fidelity and the KID of clean-fid, up to rounding."""
    real, synthetic = draw_features(90, seed=1), draw_features(90, seed=2, shift=0.2)
    distance = kernel_distance.kernel_distance(real=real, synthetic=synthetic)
    settings = {"kid_kernel": "poly", "kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None}
    settings |= {"kid_kernel_poly_coef0": 1}
    torch_fidelity = load_reference(
        "torch_fidelity",
        "metric_kid.py",
        *("mmd2", "kernel_poly", "kernel_rbf", "kernel_mmd"),
        np=np,
        get_kwarg=lambda name, kwargs: kwargs[name],
        vassert=lambda truth, message: None,
    )
    assert distance == pytest.approx(torch_fidelity.kernel_mmd(real, synthetic, **settings), rel=1e-9)
    clean_fid = load_reference("cleanfid", "fid.py", "kernel_distance", np=np)
    np.random.seed(0)  # noqa: NPY002  clean-fid draws from the global state; here every draw is the set of all rows
    assert distance == pytest.approx(clean_fid.kernel_distance(real, synthetic, num_subsets=1), rel=1e-9)


def test_equal_distributions_have_a_mean_distance_of_zero() -> None:
    """The metric is unbiased: over many pairs of samples the mean is 0 within its error, and values below 0 occur."""
    distances = np.array(
        [
            kernel_distance.kernel_distance(
                real=draw_features(40, seed=2 * k), synthetic=draw_features(40, seed=2 * k + 1)
            )
            for k in range(200)
        ]
    )
    assert abs(distances.mean()) < 3 * distances.std() / np.sqrt(200)
    assert distances.min() < 0


def test_the_distance_does_not_depend_on_n() -> None:
    """Small and large samples agree, although a Fréchet distance decreases as N grows."""
    few = np.mean(
        [
            kernel_distance.kernel_distance(
                real=draw_features(30, seed=k), synthetic=draw_features(30, seed=k + 500, shift=0.5)
            )
            for k in range(60)
        ]
    )
    many = kernel_distance.kernel_distance(
        real=draw_features(1500, seed=1), synthetic=draw_features(1500, seed=2, shift=0.5)
    )
    assert few == pytest.approx(many, rel=0.1)


def test_subsets_give_a_standard_deviation_and_a_floor() -> None:
    """Shifted images are above the floor of training films by many standard deviations; sizes are in the result."""
    result = kernel_distance.kernel_distance_by_subsets(
        train=draw_features(300, seed=1),
        test=draw_features(120, seed=2),
        synthetic=draw_features(200, seed=3, shift=0.6),
        rng=np.random.default_rng(0),
        n_subsets=30,
    )
    assert result.value - result.floor > 5 * (result.std + result.floor_std)
    assert (result.subset, result.n_subsets) == (60, 30)


def test_features_that_cannot_be_compared_are_an_error() -> None:
    """Different widths and too few rows for subsets raise DataError."""
    with pytest.raises(DataError, match=r"got \[9, 24\] and \[9, 5\]"):
        kernel_distance.kernel_distance(real=draw_features(9, seed=1), synthetic=draw_features(9, 5, seed=1))
    with pytest.raises(DataError, match="3 rows are too few"):
        kernel_distance.kernel_distance_by_subsets(
            train=draw_features(9, seed=1),
            test=draw_features(3, seed=2),
            synthetic=draw_features(9, seed=3),
            rng=np.random.default_rng(0),
        )


def test_load_reference_loads_only_the_named_functions(load_reference) -> None:
    """The fixture runs the named functions and imports nothing else of their package."""
    assert isinstance(load_reference("torch_fidelity", "metric_kid.py", "mmd2", np=np, vassert=max), SimpleNamespace)
