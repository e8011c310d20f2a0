from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import frechet
from synthcxr.evaluation.metrics.frechet import RelativeDistance, frechet_distance, relative_distance

LoadReference = Callable[..., SimpleNamespace]
_TORCH_FIDELITY_NAMES = {"KEY_METRIC_FID": "frechet_inception_distance", "vprint": lambda *_: None}


class _OldLinalg:
    """The interface of scipy.linalg that clean-fid expects: with disp=False, sqrtm also returns an error estimate."""

    @staticmethod
    def sqrtm(matrix: np.ndarray, disp: bool = True) -> object:
        root = scipy.linalg.sqrtm(matrix)
        return root if disp else (root, 0.0)


def draw_features(n: int, d: int, *, seed: int, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    mixing = np.random.default_rng(99).standard_normal((d, d)) / np.sqrt(d) + np.eye(d)
    return scale * np.random.default_rng(seed).standard_normal((n, d)) @ mixing + shift


def compute_by_matrix_root(a: np.ndarray, b: np.ndarray) -> float:
    """The textbook formula."""
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(ca @ cb)
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb) - 2 * np.trace(root.real))


def compare(
    train: np.ndarray,
    test: np.ndarray,
    synthetic: np.ndarray,
    *,
    seed: int = 0,
    n_bootstrap: int = 40,
    films_per_patient: int = 1,
) -> RelativeDistance:
    return relative_distance(
        train=train,
        test=test,
        synthetic=synthetic,
        train_patients=np.array([f"a{i}" for i in range(len(train))], dtype=object),
        test_patients=np.array([f"b{i // films_per_patient}" for i in range(len(test))], dtype=object),
        n_bootstrap=n_bootstrap,
        rng=np.random.default_rng(seed),
    )


@pytest.mark.parametrize(("n", "m", "d"), [(300, 260, 12), (200, 500, 64)])
def test_frechet_distance_equals_torch_fidelity_and_clean_fid(
    load_reference: LoadReference, n: int, m: int, d: int
) -> None:
    """On the same features the distance equals that of torch-fidelity and of clean-fid to 1e-6."""
    real, synthetic = draw_features(n, d, seed=1), draw_features(m, d, seed=2, scale=1.2, shift=0.1)
    distance = frechet_distance(real=real, synthetic=synthetic)
    torch_fidelity = load_reference(
        "torch_fidelity", "metric_fid.py", "fid_statistics_to_metric", np=np, **_TORCH_FIDELITY_NAMES
    )
    moments = [{"mu": x.mean(0), "sigma": np.cov(x, rowvar=False)} for x in (real, synthetic)]
    expected = torch_fidelity.fid_statistics_to_metric(*moments, verbose=False)["frechet_inception_distance"]
    assert distance == pytest.approx(expected, rel=1e-6)
    clean_fid = load_reference("cleanfid", "fid.py", "frechet_distance", np=np, linalg=_OldLinalg)
    arguments = (moment[key] for moment in moments for key in ("mu", "sigma"))
    assert distance == pytest.approx(clean_fid.frechet_distance(*arguments), rel=1e-6)


def test_an_ill_conditioned_case_is_exact() -> None:
    """If most directions are almost empty, the Gram matrix would lose them, so it is not used."""
    scales = np.geomspace(1, 1e-9, 60)
    a, b = draw_features(400, 60, seed=1) * scales, draw_features(400, 60, seed=2) * scales
    product = frechet.fit_gaussian(a).factor @ frechet.fit_gaussian(b).factor.T
    exact = np.linalg.svd(product, compute_uv=False).sum()
    assert frechet._nuclear_norm(product) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [(200, 8), (10, 40)])
def test_the_distance_to_a_shifted_copy_is_the_squared_shift(n: int, d: int) -> None:
    """Equal covariances leave the squared distance of the means, with more rows than features and with fewer."""
    features = draw_features(n, d, seed=1)
    shift = np.linspace(-1, 2, d)
    assert frechet_distance(real=features, synthetic=features + shift) == pytest.approx((shift**2).sum(), rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [(200, 8), (10, 40)])
def test_the_distance_to_a_scaled_copy_is_known(n: int, d: int) -> None:
    """For covariances C and s^2 C and equal means the distance is (1 - s)^2 tr C."""
    features = draw_features(n, d, seed=2)
    features -= features.mean(0)
    expected = (1 - 1.5) ** 2 * features.var(0, ddof=1).sum()
    assert frechet_distance(real=features, synthetic=1.5 * features) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(400, 300), (61, 500)])
def test_the_distance_equals_the_textbook_formula(n: int, m: int) -> None:
    """Where SciPy's sqrtm is well conditioned, both give the same number to 1e-6."""
    a, b = draw_features(n, 24, seed=3), draw_features(m, 24, seed=4, scale=1.2, shift=0.3)
    assert frechet_distance(real=a, synthetic=b) == pytest.approx(compute_by_matrix_root(a, b), rel=1e-6)


def test_fewer_rows_than_features_are_exact() -> None:
    """With fewer rows than features the distance equals the one inside the subspace that the rows span."""
    a, b = draw_features(12, 10, seed=5), draw_features(9, 10, seed=6, shift=0.5)
    embedding = np.linalg.qr(np.random.default_rng(7).standard_normal((64, 64)))[0][:10]
    expected = frechet_distance(real=a, synthetic=b)
    assert frechet_distance(real=a @ embedding, synthetic=b @ embedding) == pytest.approx(expected, rel=1e-10)


def test_both_factors_agree_for_as_many_rows_as_features() -> None:
    """The d x d factor for more rows, and the N x d factor for fewer, give one number for the same covariance."""
    a, b = draw_features(30, 30, seed=8), draw_features(30, 30, seed=9)
    doubled = np.concatenate([a, a]), np.concatenate([b, b])
    scaled = [np.sqrt(59 / 58) * (x - x.mean(0)) + x.mean(0) for x in doubled]
    expected = frechet_distance(real=a, synthetic=b)
    assert frechet_distance(real=scaled[0], synthetic=scaled[1]) == pytest.approx(expected, rel=1e-9)


def test_constant_features_have_no_effect() -> None:
    """A singular covariance, for example of a feature that is always 0, is accurate and raises nothing."""
    a, b = draw_features(100, 6, seed=10), draw_features(90, 6, seed=11, shift=1.0)
    padded = [np.concatenate([x, np.zeros((len(x), 5))], axis=1) for x in (a, b)]
    expected = frechet_distance(real=a, synthetic=b)
    assert frechet_distance(real=padded[0], synthetic=padded[1]) == pytest.approx(expected, rel=1e-7)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 25), m=st.integers(2, 25), d=st.integers(1, 12), seed=st.integers(0, 1000))
def test_the_distance_is_symmetric_non_negative_and_invariant(n: int, m: int, d: int, seed: int) -> None:
    """It is symmetric, at least 0, and 0 to itself; the order of the rows and a rotation have no effect."""
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((n, d)), rng.standard_normal((m, d)) * 2 + 1
    distance = frechet_distance(real=a, synthetic=b)
    assert distance >= 0
    assert frechet_distance(real=a, synthetic=a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(real=b, synthetic=a) == pytest.approx(distance, rel=1e-6, abs=1e-9)
    rotation = np.linalg.qr(rng.standard_normal((d, d)))[0]
    rotated = frechet_distance(real=rng.permutation(a) @ rotation, synthetic=b @ rotation)
    assert rotated == pytest.approx(distance, rel=1e-6, abs=1e-9)


def test_single_precision_features_are_summed_in_double_precision() -> None:
    """float32 features with a large common offset give the distance of the same numbers in float64."""
    a, b = (draw_features(300, 10, seed=s).astype(np.float32) + np.float32(300) for s in (12, 13))
    expected = frechet_distance(real=a.astype(np.float64), synthetic=b.astype(np.float64))
    assert frechet_distance(real=a, synthetic=b) == expected


@pytest.mark.parametrize(
    ("real", "synthetic", "message"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), "real features: expected at least two rows"),
        (np.zeros((5, 3)), np.zeros(3), "synthetic features: expected at least two rows"),
        (np.zeros((5, 3)), np.zeros((5, 4)), "widths 3, 4"),
        (np.zeros((5, 3)), np.full((5, 3), np.nan), "synthetic features: some values are not finite"),
    ],
)
def test_invalid_features_are_an_error(real: np.ndarray, synthetic: np.ndarray, message: str) -> None:
    """Too few rows, different widths and non-finite values raise DataError with the side's name."""
    with pytest.raises(DataError, match=message):
        frechet_distance(real=real, synthetic=synthetic)


def test_relative_distance_is_value_over_floor_at_equal_n() -> None:
    """The first images, as many as training films, and the training films are both compared with all test films."""
    train, test = draw_features(80, 6, seed=20), draw_features(60, 6, seed=21)
    synthetic = draw_features(200, 6, seed=22, shift=1.0)
    result = compare(train, test, synthetic)
    assert (result.n_synthetic, result.floor_n, result.n_train, result.n_test) == (80, 80, 80, 60)
    assert result.value == pytest.approx(frechet_distance(real=test, synthetic=synthetic[:80]), rel=1e-9)
    assert result.floor == pytest.approx(frechet_distance(real=test, synthetic=train), rel=1e-9)
    assert result.relative == pytest.approx(result.value / result.floor)


def test_with_fewer_images_as_many_training_films_are_drawn() -> None:
    """The floor is computed at the number of images; the result states this number and the number of films."""
    train, test = draw_features(80, 6, seed=20), draw_features(60, 6, seed=21)
    synthetic = draw_features(55, 6, seed=22)
    result = compare(train, test, synthetic)
    assert (result.n_synthetic, result.floor_n, result.n_train) == (55, 55, 80)
    assert result.floor > frechet_distance(real=test, synthetic=train)
    assert result == compare(train, test, synthetic)
    assert result != compare(train, test, synthetic, seed=1)


def test_images_from_the_distribution_of_the_films_have_a_relative_distance_of_one() -> None:
    """A perfect generator has a relative distance of 1, inside its interval."""
    train, test, synthetic = (
        draw_features(120, 30, seed=30),
        draw_features(100, 30, seed=31),
        draw_features(120, 30, seed=32),
    )
    result = compare(train, test, synthetic, n_bootstrap=100)
    low, high = result.relative_interval
    assert low < 1 < high
    assert low < result.relative < high
    assert result.interval[0] < result.value < result.interval[1]


def test_the_interval_has_about_its_nominal_coverage() -> None:
    """Over repeated samples the interval contains their mean relative distance in at least 85 %."""
    results = []
    for seed in range(40):
        train, test = draw_features(90, 24, seed=3 * seed), draw_features(70, 24, seed=3 * seed + 1)
        synthetic = draw_features(90, 24, seed=3 * seed + 2, scale=1.2, shift=0.2)
        results.append(compare(train, test, synthetic, n_bootstrap=60))
    mean = float(np.exp(np.mean([np.log(result.relative) for result in results])))
    coverage = np.mean([result.relative_interval[0] <= mean <= result.relative_interval[1] for result in results])
    assert coverage >= 0.85


def test_films_of_one_patient_are_resampled_together() -> None:
    """The same test films give a wider interval if they come from a fifth of the patients."""
    train, synthetic = draw_features(100, 8, seed=40), draw_features(100, 8, seed=41, shift=0.5)
    test = np.repeat(draw_features(20, 8, seed=42), 5, axis=0) + draw_features(100, 8, seed=43, scale=0.1)
    single, grouped = (compare(train, test, synthetic, n_bootstrap=80, films_per_patient=n).interval for n in (1, 5))
    assert grouped[1] - grouped[0] > 1.3 * (single[1] - single[0])


def test_an_extractor_with_constant_features_is_an_error() -> None:
    """Constant features raise DataError instead of giving a perfect score."""
    constant = np.ones((60, 4))
    with pytest.raises(DataError, match="the extractor gives training and test films the same features"):
        compare(constant, constant, constant)


def test_the_approximate_nuclear_norm_is_close_to_the_exact_one() -> None:
    """The approximation for resamples agrees with the singular values, for tall and wide matrices."""
    product = np.random.default_rng(1).standard_normal((40, 25))
    for matrix in (product, product.T):
        exact = frechet._nuclear_norm(matrix)
        assert frechet._nuclear_norm_approx(matrix) == pytest.approx(exact, rel=1e-7)
