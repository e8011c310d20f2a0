"""Running moments of features and of small images: known values, whose gradient it is, and what minimising it does."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from support.small_gan import CONFIG, Heard, films

from synthcxr.config.schema import GanConfig
from synthcxr.networks.efficientnet_lite1 import MAPS
from synthcxr.training import gan
from synthcxr.training.moment_matching import N_CELLS, N_FEATURES, SIDE, Moments, of_features, of_images, of_spectra


def drawn(n: int, *, seed: int, shift: float = 0.0) -> torch.Tensor:
    maps = [torch.randn(n, c, 4, 4, generator=torch.Generator().manual_seed(seed)) for c, _ in MAPS.values()]
    return of_features([shift + m for m in maps])


def near(real: torch.Tensor, synthetic: torch.Tensor) -> float:
    return Moments(real.shape[1])(real=real, synthetic=synthetic).item()


def test_what_describes_an_image() -> None:
    """Mean and standard deviation over positions, map by map."""
    found = of_features([torch.arange(8.0).view(1, 2, 2, 2), torch.ones(1, 1, 2, 2)])
    spread = (1.25 + 1e-4) ** 0.5
    assert torch.allclose(found, torch.tensor([[1.5, 5.5, spread, spread, 1.0, 0.01]]))


def test_what_describes_a_small_image() -> None:
    """The mean of each of 8 x 8 patches, whatever the side."""
    corner = torch.zeros(1, 1, 128, 128)
    corner[..., :16, :16] = 0.5
    assert of_images(corner).tolist() == [[0.5] + [0.0] * (N_CELLS - 1)]
    assert of_images(torch.ones(2, 1, 16, 16)).shape == (2, N_CELLS)


@pytest.mark.parametrize("side", [16, 32, 128])
def test_a_wave_is_seen_in_its_band(side: int) -> None:
    """A wave of 0.41 cycles a pixel down and 0.22 across lies in the seventh band of eight down, the fourth across."""
    down, across = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    wave = torch.cos(2 * math.pi * (0.41 * down + 0.22 * across))[None, None]
    for image in (wave, wave.flip(-1), 0.3 + 0.5 * wave):
        found = of_spectra(image)
        assert found.shape == (1, N_CELLS)
        assert divmod(int(found.argmax()), SIDE) == (6, 3)


def test_the_power_of_grain_is_its_variance() -> None:
    """White grain has its variance in every band, and a flat image what rounding adds, a twelfth of a step squared."""
    grain = 0.1 * torch.randn(64, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    assert of_spectra(grain).exp().mean(0).tolist() == pytest.approx([0.01] * N_CELLS, rel=0.1)
    assert of_spectra(torch.full((1, 1, 64, 64), 0.5)).exp().tolist() == [pytest.approx([4 / 255**2 / 12] * N_CELLS)]


def test_running_moments_are_those_of_all_images_at_first() -> None:
    """Before a thousand images nothing is forgotten, so batches of any size give the same."""
    whole, parts = Moments(N_FEATURES), Moments(N_FEATURES)
    x = drawn(48, seed=1)
    whole(real=x, synthetic=x)
    for part in x.split(8):
        parts(real=part, synthetic=part)
    assert torch.allclose(whole.real_mean, parts.real_mean, atol=1e-5)
    assert torch.allclose(whole.real_square, parts.real_square, atol=1e-4)
    assert torch.allclose(whole.real_mean, x.mean(0), atol=1e-5)


def test_equal_images_are_no_distance_apart_and_others_are() -> None:
    """Zero for the same batch, more for a shifted one, and for one of less variety with the same mean."""
    x = drawn(2000, seed=1)
    assert near(x, x) == 0.0
    close = near(x, drawn(2000, seed=2))
    assert 0 < close < near(x, drawn(2000, seed=2, shift=1.0))
    assert close < near(x, x[:1].expand(2000, -1))


def test_statistics_of_few_images_count_for_less() -> None:
    """A hundred images say a tenth of what a thousand would."""
    x = drawn(100, seed=1)
    assert near(x, x + 1) == pytest.approx(0.1 * near(x.repeat(10, 1), (x + 1).repeat(10, 1)), rel=1e-3)


def test_the_gradient_is_the_batchs_own_in_full() -> None:
    """However long the memory, a batch is pushed as if the statistics were its own: old images do not dilute it."""
    moments = Moments(N_FEATURES)
    for seed in range(2, 100):
        moments(real=drawn(16, seed=seed), synthetic=drawn(16, seed=seed + 1000, shift=1.0))
    pushed = drawn(16, seed=5, shift=1.0).requires_grad_()
    moments(real=drawn(16, seed=1), synthetic=pushed).backward()
    whole = drawn(1000, seed=6, shift=1.0).requires_grad_()
    Moments(N_FEATURES)(real=drawn(1000, seed=3), synthetic=whole).backward()
    assert pushed.grad is not None
    assert whole.grad is not None
    means = slice(0, N_FEATURES // 4)
    assert (pushed.grad[:, means].mean() > 0).item()
    assert 0.5 < pushed.grad[:, means].sum().item() / whole.grad[:, means].sum().item() < 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["image_moments", "spectrum_moments"])
def test_a_training_that_matches_them_goes_on_where_it_stopped(tmp_path: Path, name: str) -> None:
    """The running moments are in the checkpoint, and they do change what is learned."""
    plain = dataclasses.replace(
        CONFIG,
        resolution=16,
        channels={4: 8, 8: 8, 16: 8},
        nimg={4: 64, 8: 64, 16: 128},
        fade_nimg={8: 64, 16: 64},
        batch={4: 8, 8: 8, 16: 8},
    )
    config = dataclasses.replace(plain, **{name: 1.0})

    def run(name: str, heard: Heard, config: GanConfig = config) -> gan.State:
        return gan.train(config, films, fingerprint="x", folder=tmp_path / name, listeners=heard.listeners())

    whole = run("whole", Heard())
    with pytest.raises(KeyboardInterrupt):
        run("stopped", Heard(stop_at=160))
    again = run("stopped", Heard())
    for one, other in ((whole.ema, again.ema), (whole.moments[name], again.moments[name])):
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
    without = run("without", Heard(), plain)
    assert not torch.equal(whole.ema.dense.weight, without.ema.dense.weight)
