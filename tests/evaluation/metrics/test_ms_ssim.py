from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from synthcxr.data import images
from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import ms_ssim


def draw_films(n: int, side: int, *, seed: int, variation: float = 0.15) -> np.ndarray:
    """Film-like uint8 [n, side, side]: a shared shape, and smooth structure that differs between films."""
    rng = np.random.default_rng(seed)
    shared = gaussian_filter(np.random.default_rng(0).standard_normal((side, side)), side / 8)
    individual = gaussian_filter(rng.standard_normal((n, side, side)), (0, 2, 2))
    unit = 0.5 + 0.2 * shared / shared.std() + variation * individual / individual.std()
    return images.quantise(unit.astype(np.float32))


@pytest.mark.parametrize(("side", "n_scales"), [(176, 5), (256, 5), (64, 3), (32, 2)])
def test_ms_ssim_equals_monai(side: int, n_scales: int) -> None:
    """The value equals MONAI's with the same window and the weights of as many scales, to 1e-4."""
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    a, b = draw_films(4, side, seed=1), draw_films(4, side, seed=2)
    weights = np.array(ms_ssim.WEIGHTS[:n_scales]) / sum(ms_ssim.WEIGHTS[:n_scales])
    metric = metrics.MultiScaleSSIMMetric(
        spatial_dims=2, data_range=255.0, kernel_size=11, kernel_sigma=1.5, weights=tuple(weights.tolist())
    )
    expected = metric(*(torch.from_numpy(x[:, None].astype(np.float32)) for x in (a, b)))[:, 0].numpy()
    assert ms_ssim.count_scales(side) == n_scales
    np.testing.assert_allclose(ms_ssim.ms_ssim(a, b), expected, atol=1e-4)


def test_the_similarity_of_an_image_with_itself_is_one() -> None:
    """1 for an image with itself, less for another one."""
    a = draw_films(3, 64, seed=1)
    np.testing.assert_allclose(ms_ssim.ms_ssim(a, a), 1)
    assert ms_ssim.ms_ssim(a, draw_films(3, 64, seed=2)).max() < 0.95


def test_images_with_little_variation_are_more_similar_than_films() -> None:
    """The interval of images that hardly differ is above that of films."""
    real = draw_films(60, 64, seed=1)
    comparison = ms_ssim.compare_ms_ssim(
        synthetic=draw_films(50, 64, seed=2, variation=0.02),
        real=real,
        patients=np.array([f"p{i // 2}" for i in range(60)], dtype=object),
        n_bootstrap=50,
        rng=np.random.default_rng(0),
    )
    assert comparison.synthetic_interval[0] > comparison.real_interval[1]
    assert (comparison.n_pairs, comparison.n_scales) == (ms_ssim.N_PAIRS, 3)


def test_films_of_one_patient_are_not_paired() -> None:
    """No pair of films shares a patient, because films of one person are similar for another reason."""
    patients = np.array([f"p{i // 10}" for i in range(60)], dtype=object)
    pairs = ms_ssim._draw_pairs(60, patients, np.random.default_rng(0))
    assert len(pairs) > 300
    assert (patients[pairs[:, 0]] != patients[pairs[:, 1]]).all()


def test_images_smaller_than_the_window_are_an_error() -> None:
    """Images of fewer than 11 px raise DataError."""
    with pytest.raises(DataError, match="11 px or more"):
        ms_ssim.ms_ssim(draw_films(2, 8, seed=1), draw_films(2, 8, seed=2))
