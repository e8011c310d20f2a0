"""Differentiable augmentation: zero parameters change nothing, limits and shares are correct, gradients pass."""

import torch

from synthcxr.config.gan_sections import AugmentConfig
from synthcxr.training.augment import augment
from synthcxr.training.step_rng import StepRng

OFF = AugmentConfig(translate=0, brightness=0, contrast=0, cutout=0, cutout_p=0)


def create_rng(seed: int = 0) -> StepRng:
    return StepRng(torch.Generator().manual_seed(seed))


def test_zero_parameters_change_nothing() -> None:
    """With every parameter at 0 the images are returned unchanged."""
    images = torch.randn(4, 1, 8, 8)
    assert torch.equal(augment(images, OFF, create_rng()), images)


def test_translation_shifts_by_whole_pixels_and_repeats_the_edge() -> None:
    """Every row of the result is a shifted row of the source, without new grey levels or mirroring."""
    ramp = torch.arange(16.0).expand(32, 1, 16, 16).contiguous()
    shifted = augment(ramp, AugmentConfig(translate=0.25, brightness=0, contrast=0, cutout=0, cutout_p=0), create_rng())
    steps = shifted[:, 0, :, 1:] - shifted[:, 0, :, :-1]
    assert set(shifted.unique().tolist()) <= set(range(16))
    assert set(steps.unique().tolist()) == {0.0, 1.0}
    shifts = (shifted[:, 0, 0, 8] - 8).unique()
    assert shifts.abs().max() <= 4
    assert len(shifts) > 3


def test_grey_levels_change_within_their_limits() -> None:
    """Brightness shifts the mean by at most its limit; contrast keeps the mean."""
    images = torch.randn(64, 1, 8, 8)
    config = AugmentConfig(translate=0, brightness=0.25, contrast=0, cutout=0, cutout_p=0)
    brighter = augment(images, config, create_rng())
    shift = brighter.mean(dim=(1, 2, 3)) - images.mean(dim=(1, 2, 3))
    assert 0.15 < shift.abs().max() <= 0.25
    config = AugmentConfig(translate=0, brightness=0, contrast=0.3, cutout=0, cutout_p=0)
    scaled = augment(images, config, create_rng())
    ratio = scaled.std(dim=(1, 2, 3)) / images.std(dim=(1, 2, 3))
    assert 0.7 - 1e-4 <= ratio.min() < 0.8 < 1.2 < ratio.max() <= 1.3 + 1e-4
    assert torch.allclose(scaled.mean(dim=(1, 2, 3)), images.mean(dim=(1, 2, 3)), atol=1e-5)


def test_cutout_hits_its_share_and_fills_with_the_mean() -> None:
    """At p 0.5 about half the images lose a square of at most half the side."""
    images = torch.randn(400, 1, 8, 8)
    cut = augment(images, AugmentConfig(translate=0, brightness=0, contrast=0, cutout=0.5, cutout_p=0.5), create_rng())
    changed = (cut != images).flatten(1)
    assert 0.4 < changed.any(dim=1).float().mean() < 0.6
    assert changed.sum(dim=1).max() <= 16
    filled = cut[changed.reshape(images.shape)]
    means = images.mean(dim=(1, 2, 3))
    assert (filled[:, None] - means[None]).abs().min(dim=1).values.max() < 1e-5


def test_the_same_stream_gives_the_same_change_and_gradients_pass() -> None:
    """Real and synthetic images can be changed in the same way, and the generator learns through the augmentation."""
    config = AugmentConfig(translate=0.125, brightness=0.2, contrast=0.2, cutout=0.5, cutout_p=0.5)
    images = torch.randn(8, 1, 16, 16, requires_grad=True)
    assert torch.equal(augment(images, config, create_rng(3)), augment(images, config, create_rng(3)))
    augment(images, config, create_rng(3)).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
