"""Moment matching: descriptors and distances have known values, gradients are those of the batch, runs resume."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from support.small_gan import CONFIG, ProgressRecorder, read_films

from synthcxr.config.schema import GanConfig
from synthcxr.networks.efficientnet_lite1 import FEATURE_MAPS
from synthcxr.training import gan
from synthcxr.training.gan_state import GanState
from synthcxr.training.moment_matching import (
    N_CELLS,
    N_FEATURES,
    SIDE,
    MomentMatchingLoss,
    compute_feature_statistics,
    compute_log_spectrum,
    compute_patch_means,
)


def draw_features(n: int, *, seed: int, shift: float = 0.0) -> torch.Tensor:
    maps = [torch.randn(n, c, 4, 4, generator=torch.Generator().manual_seed(seed)) for c, _ in FEATURE_MAPS.values()]
    return compute_feature_statistics([shift + m for m in maps])


def measure_distance(real: torch.Tensor, synthetic: torch.Tensor) -> float:
    return MomentMatchingLoss(real.shape[1])(real=real, synthetic=synthetic).item()


def test_feature_statistics_have_known_values() -> None:
    """They are the mean and the standard deviation over positions of each channel, map by map."""
    statistics = compute_feature_statistics([torch.arange(8.0).view(1, 2, 2, 2), torch.ones(1, 1, 2, 2)])
    std = (1.25 + 1e-4) ** 0.5
    assert torch.allclose(statistics, torch.tensor([[1.5, 5.5, std, std, 1.0, 0.01]]))


def test_patch_means_have_known_values() -> None:
    """They are the means of 8 x 8 patches, for any side."""
    corner = torch.zeros(1, 1, 128, 128)
    corner[..., :16, :16] = 0.5
    assert compute_patch_means(corner).tolist() == [[0.5] + [0.0] * (N_CELLS - 1)]
    assert compute_patch_means(torch.ones(2, 1, 16, 16)).shape == (2, N_CELLS)


@pytest.mark.parametrize("side", [16, 32, 128])
def test_a_wave_has_its_power_in_its_band(side: int) -> None:
    """A wave of 0.41 vertical and 0.22 horizontal cycles per pixel is in vertical band 7 and horizontal band 4 of 8."""
    down, across = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    wave = torch.cos(2 * math.pi * (0.41 * down + 0.22 * across))[None, None]
    for image in (wave, wave.flip(-1), 0.3 + 0.5 * wave):
        spectrum = compute_log_spectrum(image)
        assert spectrum.shape == (1, N_CELLS)
        assert divmod(int(spectrum.argmax()), SIDE) == (6, 3)


def test_the_power_of_white_noise_is_its_variance() -> None:
    """White noise has its variance in every band; a constant image has the variance of rounding to grey levels."""
    noise = 0.1 * torch.randn(64, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    assert compute_log_spectrum(noise).exp().mean(0).tolist() == pytest.approx([0.01] * N_CELLS, rel=0.1)
    assert compute_log_spectrum(torch.full((1, 1, 64, 64), 0.5)).exp().tolist() == [
        pytest.approx([4 / 255**2 / 12] * N_CELLS)
    ]


def test_running_moments_include_all_images_at_first() -> None:
    """Below 1000 images nothing decays, so any batch size gives the same moments."""
    joint, split = MomentMatchingLoss(N_FEATURES), MomentMatchingLoss(N_FEATURES)
    x = draw_features(48, seed=1)
    joint(real=x, synthetic=x)
    for part in x.split(8):
        split(real=part, synthetic=part)
    assert torch.allclose(joint.real_mean, split.real_mean, atol=1e-5)
    assert torch.allclose(joint.real_square, split.real_square, atol=1e-4)
    assert torch.allclose(joint.real_mean, x.mean(0), atol=1e-5)


def test_the_distance_grows_with_shift_and_with_lost_variety() -> None:
    """It is zero for the same batch, and larger for a shifted batch and for one image repeated."""
    x = draw_features(2000, seed=1)
    assert measure_distance(x, x) == 0.0
    close = measure_distance(x, draw_features(2000, seed=2))
    assert 0 < close < measure_distance(x, draw_features(2000, seed=2, shift=1.0))
    assert close < measure_distance(x, x[:1].expand(2000, -1))


def test_few_images_have_a_smaller_weight() -> None:
    """The distance of 100 images has a tenth of the weight of that of 1000 images."""
    x = draw_features(100, seed=1)
    assert measure_distance(x, x + 1) == pytest.approx(
        0.1 * measure_distance(x.repeat(10, 1), (x + 1).repeat(10, 1)), rel=1e-3
    )


@pytest.mark.slow
def test_the_gradient_of_a_batch_is_not_diluted() -> None:
    """A batch gets the gradient that it would have if the running statistics were its own."""
    running = MomentMatchingLoss(N_FEATURES)
    for seed in range(2, 100):
        running(real=draw_features(16, seed=seed), synthetic=draw_features(16, seed=seed + 1000, shift=1.0))
    batch = draw_features(16, seed=5, shift=1.0).requires_grad_()
    running(real=draw_features(16, seed=1), synthetic=batch).backward()
    all_images = draw_features(1000, seed=6, shift=1.0).requires_grad_()
    MomentMatchingLoss(N_FEATURES)(real=draw_features(1000, seed=3), synthetic=all_images).backward()
    assert batch.grad is not None
    assert all_images.grad is not None
    means = slice(0, N_FEATURES // 4)
    assert (batch.grad[:, means].mean() > 0).item()
    assert 0.5 < batch.grad[:, means].sum().item() / all_images.grad[:, means].sum().item() < 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["image_moments", "spectrum_moments"])
def test_a_training_with_image_moments_resumes_bit_identical(tmp_path: Path, name: str) -> None:
    """The checkpoint contains the running moments, and they change the result."""
    without_moments = dataclasses.replace(
        CONFIG,
        resolution=16,
        channels={4: 8, 8: 8, 16: 8},
        nimg={4: 64, 8: 64, 16: 128},
        fade_nimg={8: 64, 16: 64},
        batch={4: 8, 8: 8, 16: 8},
    )
    config = dataclasses.replace(without_moments, **{name: 1.0})

    def run(folder: str, recorder: ProgressRecorder, config: GanConfig = config) -> GanState:
        return gan.train_gan(
            config, read_films, fingerprint="x", folder=tmp_path / folder, callbacks=recorder.callbacks()
        )

    uninterrupted = run("uninterrupted", ProgressRecorder())
    with pytest.raises(KeyboardInterrupt):
        run("stopped", ProgressRecorder(stop_nimg=160))
    resumed = run("stopped", ProgressRecorder())
    for network, other in (
        (uninterrupted.ema, resumed.ema),
        (uninterrupted.image_moments[name], resumed.image_moments[name]),
    ):
        assert all(torch.equal(value, other.state_dict()[key]) for key, value in network.state_dict().items())
    without = run("without", ProgressRecorder(), without_moments)
    assert not torch.equal(uninterrupted.ema.dense.weight, without.ema.dense.weight)
