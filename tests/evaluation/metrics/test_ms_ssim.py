from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from synthcxr.data import images
from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import ms_ssim


def films(n: int, side: int, *, seed: int, own: float = 0.15) -> np.ndarray:
    """Film-like uint8 [n, side, side]."""
    rng = np.random.default_rng(seed)
    shared = gaussian_filter(np.random.default_rng(0).standard_normal((side, side)), side / 8)
    each = gaussian_filter(rng.standard_normal((n, side, side)), (0, 2, 2))
    return images.quantise((0.5 + 0.2 * shared / shared.std() + own * each / each.std()).astype(np.float32))


@pytest.mark.parametrize(("side", "n_scales"), [(176, 5), (256, 5), (64, 3), (32, 2)])
def test_it_is_monais(side: int, n_scales: int) -> None:
    """Equal to MONAI's metric with the same window and the weights of as many scales, to 1e-4."""
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    a, b = films(4, side, seed=1), films(4, side, seed=2)
    weights = np.array(ms_ssim.WEIGHTS[:n_scales]) / sum(ms_ssim.WEIGHTS[:n_scales])
    metric = metrics.MultiScaleSSIMMetric(
        spatial_dims=2, data_range=255.0, kernel_size=11, kernel_sigma=1.5, weights=tuple(weights.tolist())
    )
    theirs = metric(*(torch.from_numpy(x[:, None].astype(np.float32)) for x in (a, b)))[:, 0].numpy()
    assert ms_ssim.scales(side) == n_scales
    np.testing.assert_allclose(ms_ssim.ms_ssim(a, b), theirs, atol=1e-4)


def test_the_same_picture_is_wholly_alike() -> None:
    """1 for a picture with itself, less for another."""
    a = films(3, 64, seed=1)
    np.testing.assert_allclose(ms_ssim.ms_ssim(a, a), 1)
    assert ms_ssim.ms_ssim(a, films(3, 64, seed=2)).max() < 0.95


def test_a_collapsed_set_is_more_alike_than_films() -> None:
    """Images that hardly differ among themselves: their interval lies above that of films."""
    real = films(60, 64, seed=1)
    found = ms_ssim.compare(
        synthetic=films(50, 64, seed=2, own=0.02),
        real=real,
        patients=np.array([f"p{i // 2}" for i in range(60)], dtype=object),
        n_bootstrap=50,
        rng=np.random.default_rng(0),
    )
    assert found.synthetic_interval[0] > found.real_interval[1]
    assert (found.n_pairs, found.n_scales) == (ms_ssim.N_PAIRS, 3)


def test_films_of_one_patient_are_no_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pair of films shares a patient: two pictures of one person are alike for another reason."""
    patients = np.array([f"p{i // 10}" for i in range(60)], dtype=object)
    pairs = ms_ssim._pairs(60, patients, np.random.default_rng(0))
    assert len(pairs) > 300
    assert (patients[pairs[:, 0]] != patients[pairs[:, 1]]).all()


def test_small_images_are_refused() -> None:
    """Below the window there is nothing to compare."""
    with pytest.raises(DataError, match="11 px or more"):
        ms_ssim.ms_ssim(films(2, 8, seed=1), films(2, 8, seed=2))
