from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import kernel_distance


def cloud(n: int, d: int = 24, *, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)) + shift


def test_it_is_torch_fidelitys_and_clean_fids(formulas) -> None:
    """One subset of all rows: equal to the unbiased MMD of torch-fidelity and to the KID of clean-fid, to rounding."""
    real, synthetic = cloud(90, seed=1), cloud(90, seed=2, shift=0.2)
    ours = kernel_distance.kernel_distance(real=real, synthetic=synthetic)
    settings = {"kid_kernel": "poly", "kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None}
    settings |= {"kid_kernel_poly_coef0": 1}
    fidelity = formulas(
        "torch_fidelity",
        "metric_kid.py",
        *("mmd2", "kernel_poly", "kernel_rbf", "kernel_mmd"),
        np=np,
        get_kwarg=lambda name, given: given[name],
        vassert=lambda truth, message: None,
    )
    assert ours == pytest.approx(fidelity.kernel_mmd(real, synthetic, **settings), rel=1e-9)
    clean = formulas("cleanfid", "fid.py", "kernel_distance", np=np)
    np.random.seed(0)  # noqa: NPY002  theirs draws from the global state; of all rows every draw is the same set
    assert ours == pytest.approx(clean.kernel_distance(real, synthetic, num_subsets=1), rel=1e-9)


def test_equal_distributions_are_at_nought_on_average() -> None:
    """Unbiased: over many pairs of samples of one distribution the mean is 0 within its own error, also below 0."""
    found = np.array(
        [
            kernel_distance.kernel_distance(real=cloud(40, seed=2 * k), synthetic=cloud(40, seed=2 * k + 1))
            for k in range(200)
        ]
    )
    assert abs(found.mean()) < 3 * found.std() / np.sqrt(200)
    assert found.min() < 0


def test_the_distance_does_not_depend_on_n() -> None:
    """Small samples and large ones agree, where a Frechet distance shrinks as N grows."""
    few = np.mean(
        [
            kernel_distance.kernel_distance(real=cloud(30, seed=k), synthetic=cloud(30, seed=k + 500, shift=0.5))
            for k in range(60)
        ]
    )
    many = kernel_distance.kernel_distance(real=cloud(1500, seed=1), synthetic=cloud(1500, seed=2, shift=0.5))
    assert few == pytest.approx(many, rel=0.1)


def test_subsets_have_a_spread_and_a_floor() -> None:
    """Shifted images lie above the floor of training films by many standard deviations; sizes are stated."""
    found = kernel_distance.by_subsets(
        train=cloud(300, seed=1),
        test=cloud(120, seed=2),
        synthetic=cloud(200, seed=3, shift=0.6),
        rng=np.random.default_rng(0),
        n_subsets=30,
    )
    assert found.value - found.floor > 5 * (found.std + found.floor_std)
    assert (found.subset, found.n_subsets) == (60, 30)


def test_rows_that_do_not_fit_are_named() -> None:
    """Other widths, and too few rows for subsets."""
    with pytest.raises(DataError, match=r"found \[9, 24\] and \[9, 5\]"):
        kernel_distance.kernel_distance(real=cloud(9, seed=1), synthetic=cloud(9, 5, seed=1))
    with pytest.raises(DataError, match="3 rows are too few"):
        kernel_distance.by_subsets(
            train=cloud(9, seed=1), test=cloud(3, seed=2), synthetic=cloud(9, seed=3), rng=np.random.default_rng(0)
        )


def test_formulas_take_nothing_else(formulas) -> None:
    """The fixture runs the named functions and nothing of their package."""
    assert isinstance(formulas("torch_fidelity", "metric_kid.py", "mmd2", np=np, vassert=max), SimpleNamespace)
