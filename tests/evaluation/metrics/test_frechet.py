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
from synthcxr.evaluation.metrics.frechet import Distance, Provenance, frechet_distance, relative_distance

PROVENANCE = Provenance(extractor="stand-in", digest="0" * 64, resize="none")


Formulas = Callable[..., SimpleNamespace]
_NAMED = {"KEY_METRIC_FID": "frechet_inception_distance", "vprint": lambda *_: None}


class _OldLinalg:
    """scipy.linalg as clean-fid knew it: sqrtm answers with an estimate of its error where it is not to show it."""

    @staticmethod
    def sqrtm(matrix: np.ndarray, disp: bool = True) -> object:
        root = scipy.linalg.sqrtm(matrix)
        return root if disp else (root, 0.0)


def normal(n: int, d: int, *, seed: int, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    mixing = np.random.default_rng(99).standard_normal((d, d)) / np.sqrt(d) + np.eye(d)
    return scale * np.random.default_rng(seed).standard_normal((n, d)) @ mixing + shift


def by_matrix_root(a: np.ndarray, b: np.ndarray) -> float:
    """The textbook formula."""
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(ca @ cb)
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb) - 2 * np.trace(root.real))


def relative(
    train: np.ndarray, test: np.ndarray, synthetic: np.ndarray, *, seed: int = 0, draws: int = 40, a_patient: int = 1
) -> Distance:
    return relative_distance(
        train=train,
        test=test,
        synthetic=synthetic,
        train_patients=np.array([f"a{i}" for i in range(len(train))], dtype=object),
        test_patients=np.array([f"b{i // a_patient}" for i in range(len(test))], dtype=object),
        provenance=PROVENANCE,
        n_bootstrap=draws,
        rng=np.random.default_rng(seed),
    )


@pytest.mark.parametrize(("n", "m", "d"), [(300, 260, 12), (200, 500, 64)])
def test_it_is_what_torch_fidelity_and_clean_fid_give(formulas: Formulas, n: int, m: int, d: int) -> None:
    """On the same features, to 1e-6: the statistics and the distance of torch-fidelity, the distance of clean-fid."""
    real, synthetic = normal(n, d, seed=1), normal(m, d, seed=2, scale=1.2, shift=0.1)
    ours = frechet_distance(real=real, synthetic=synthetic)
    fid = formulas("torch_fidelity", "metric_fid.py", "fid_statistics_to_metric", np=np, **_NAMED)
    moments = [{"mu": x.mean(0), "sigma": np.cov(x, rowvar=False)} for x in (real, synthetic)]
    theirs = fid.fid_statistics_to_metric(*moments, verbose=False)["frechet_inception_distance"]
    assert ours == pytest.approx(theirs, rel=1e-6)
    clean = formulas("cleanfid", "fid.py", "frechet_distance", np=np, linalg=_OldLinalg)
    assert ours == pytest.approx(
        clean.frechet_distance(*(moment[key] for moment in moments for key in ("mu", "sigma"))), rel=1e-6
    )


def test_an_ill_conditioned_case_is_exact() -> None:
    """Features of which most directions are next to empty: the Gram matrix would lose them, and is not trusted."""
    scales = np.geomspace(1, 1e-9, 60)
    a, b = normal(400, 60, seed=1) * scales, normal(400, 60, seed=2) * scales
    factors = frechet.fitted(a).factor, frechet.fitted(b).factor
    exact = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    assert frechet._nuclear_norm(factors[0] @ factors[1].T) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [(200, 8), (10, 40)])
def test_a_shifted_copy_is_its_squared_shift_away(n: int, d: int) -> None:
    """Equal covariances leave the squared distance of the means, with more rows than features and with fewer."""
    features = normal(n, d, seed=1)
    shift = np.linspace(-1, 2, d)
    assert frechet_distance(real=features, synthetic=features + shift) == pytest.approx((shift**2).sum(), rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [(200, 8), (10, 40)])
def test_a_stretched_copy_has_the_known_distance(n: int, d: int) -> None:
    """For covariances C and s^2 C the distance is (1 - s)^2 tr C, plus what the mean moves."""
    features = normal(n, d, seed=2)
    features -= features.mean(0)
    expected = (1 - 1.5) ** 2 * features.var(0, ddof=1).sum()
    assert frechet_distance(real=features, synthetic=1.5 * features) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(400, 300), (61, 500)])
def test_agrees_with_the_matrix_square_root(n: int, m: int) -> None:
    """Where SciPy's sqrtm is well conditioned both give the same number to 1e-6."""
    a, b = normal(n, 24, seed=3), normal(m, 24, seed=4, scale=1.2, shift=0.3)
    assert frechet_distance(real=a, synthetic=b) == pytest.approx(by_matrix_root(a, b), rel=1e-6)


def test_few_rows_are_exact_where_the_matrix_square_root_is_not_needed() -> None:
    """With fewer rows than features the distance equals the one inside the subspace that the rows span."""
    a, b = normal(12, 10, seed=5), normal(9, 10, seed=6, shift=0.5)
    turned = np.linalg.qr(np.random.default_rng(7).standard_normal((64, 64)))[0][:10]
    inside = frechet_distance(real=a, synthetic=b)
    assert frechet_distance(real=a @ turned, synthetic=b @ turned) == pytest.approx(inside, rel=1e-10)


def test_both_routes_meet_where_rows_and_features_are_as_many() -> None:
    """The d x d route beyond N = d and the N x N route below it give one number for the same covariance."""
    a, b = normal(30, 30, seed=8), normal(30, 30, seed=9)
    doubled = np.concatenate([a, a]), np.concatenate([b, b])
    scaled = [np.sqrt(59 / 58) * (x - x.mean(0)) + x.mean(0) for x in doubled]
    assert frechet_distance(real=scaled[0], synthetic=scaled[1]) == pytest.approx(
        frechet_distance(real=a, synthetic=b), rel=1e-9
    )


def test_dead_features_change_nothing() -> None:
    """A singular covariance, as of a feature that is always 0, costs no accuracy and raises nothing."""
    a, b = normal(100, 6, seed=10), normal(90, 6, seed=11, shift=1.0)
    padded = [np.concatenate([x, np.zeros((len(x), 5))], axis=1) for x in (a, b)]
    expected = frechet_distance(real=a, synthetic=b)
    assert frechet_distance(real=padded[0], synthetic=padded[1]) == pytest.approx(expected, rel=1e-7)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 25), m=st.integers(2, 25), d=st.integers(1, 12), seed=st.integers(0, 1000))
def test_is_symmetric_never_negative_and_blind_to_order(n: int, m: int, d: int, seed: int) -> None:
    """A distance: symmetric, at least 0, 0 to itself; the order of rows and a rotation do not matter."""
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((n, d)), rng.standard_normal((m, d)) * 2 + 1
    held = frechet_distance(real=a, synthetic=b)
    assert held >= 0
    assert frechet_distance(real=a, synthetic=a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(real=b, synthetic=a) == pytest.approx(held, rel=1e-6, abs=1e-9)
    rotation = np.linalg.qr(rng.standard_normal((d, d)))[0]
    moved = frechet_distance(real=rng.permutation(a) @ rotation, synthetic=b @ rotation)
    assert moved == pytest.approx(held, rel=1e-6, abs=1e-9)


def test_single_precision_features_are_summed_in_double() -> None:
    """float32 features with a large common offset give the distance of the same numbers in float64."""
    a, b = (normal(300, 10, seed=s).astype(np.float32) + np.float32(300) for s in (12, 13))
    expected = frechet_distance(real=a.astype(np.float64), synthetic=b.astype(np.float64))
    assert frechet_distance(real=a, synthetic=b) == expected


@pytest.mark.parametrize(
    ("real", "synthetic", "says"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), "real features: expected at least two rows"),
        (np.zeros((5, 3)), np.zeros(3), "synthetic features: expected at least two rows"),
        (np.zeros((5, 3)), np.zeros((5, 4)), "widths 3, 4"),
        (np.zeros((5, 3)), np.full((5, 3), np.nan), "synthetic features: not all values are finite"),
    ],
)
def test_refuses_what_is_no_pair_of_feature_sets(real: np.ndarray, synthetic: np.ndarray, says: str) -> None:
    """Too few rows, other widths and values that are not finite are named."""
    with pytest.raises(DataError, match=says):
        frechet_distance(real=real, synthetic=synthetic)


def test_relative_distance_is_value_over_floor_at_equal_n() -> None:
    """As many images as training films are taken from the front, and both distances go to all test films."""
    train, test, made = normal(80, 6, seed=20), normal(60, 6, seed=21), normal(200, 6, seed=22, shift=1.0)
    found = relative(train, test, made)
    assert (found.n_synthetic, found.floor_n, found.n_train, found.n_test) == (80, 80, 80, 60)
    assert found.value == pytest.approx(frechet_distance(real=test, synthetic=made[:80]), rel=1e-9)
    assert found.floor == pytest.approx(frechet_distance(real=test, synthetic=train), rel=1e-9)
    assert found.relative == pytest.approx(found.value / found.floor)


def test_fewer_images_than_training_films_draw_as_many_of_these() -> None:
    """The floor is then taken at the images' N, and says that N beside the number of films."""
    train, test, made = normal(80, 6, seed=20), normal(60, 6, seed=21), normal(55, 6, seed=22)
    found = relative(train, test, made)
    assert (found.n_synthetic, found.floor_n, found.n_train) == (55, 55, 80)
    assert found.floor > frechet_distance(real=test, synthetic=train)
    assert found == relative(train, test, made)
    assert found != relative(train, test, made, seed=1)


def test_images_from_the_films_own_distribution_lie_about_as_near_as_films() -> None:
    """A perfect generator has a relative distance of 1, inside its interval."""
    found = relative(normal(120, 30, seed=30), normal(100, 30, seed=31), normal(120, 30, seed=32), draws=100)
    low, high = found.relative_interval
    assert low < 1 < high
    assert low < found.relative < high
    assert found.interval[0] < found.value < found.interval[1]


def test_the_interval_covers_what_repetition_shows() -> None:
    """Over repeated samples the interval holds their mean relative distance in about 95 of a hundred."""
    runs = []
    for seed in range(40):
        films, held_out = normal(90, 24, seed=3 * seed), normal(70, 24, seed=3 * seed + 1)
        runs.append(relative(films, held_out, normal(90, 24, seed=3 * seed + 2, scale=1.2, shift=0.2), draws=60))
    middle = float(np.exp(np.mean([np.log(run.relative) for run in runs])))
    covered = np.mean([run.relative_interval[0] <= middle <= run.relative_interval[1] for run in runs])
    assert covered >= 0.85


def test_films_of_one_patient_count_together() -> None:
    """The same test films give a wider interval when they come from a fifth of the patients."""
    train, made = normal(100, 8, seed=40), normal(100, 8, seed=41, shift=0.5)
    test = np.repeat(normal(20, 8, seed=42), 5, axis=0) + normal(100, 8, seed=43, scale=0.1)
    alone, together = (relative(train, test, made, draws=80, a_patient=n).interval for n in (1, 5))
    assert together[1] - together[0] > 1.3 * (alone[1] - alone[0])


def test_an_extractor_that_sees_nothing_cannot_judge() -> None:
    """Constant features are an error and no perfect score."""
    blind = np.ones((60, 4))
    with pytest.raises(DataError, match="stand-in: gives training and test films the same features"):
        relative(blind, blind, blind)


def test_the_quick_trace_is_the_exact_one() -> None:
    """What resamples use agrees with the singular values, tall or wide."""
    product = np.random.default_rng(1).standard_normal((40, 25))
    for matrix in (product, product.T):
        exact = frechet._nuclear_norm(matrix)
        assert frechet._quick_nuclear_norm(matrix) == pytest.approx(exact, rel=1e-7)
