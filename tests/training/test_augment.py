"""Differentiable augmentation: off means off, what it moves and cuts, and that gradients pass."""

import torch

from synthcxr.config.schema import Augment
from synthcxr.training.augment import augment
from synthcxr.training.step_rng import Draws

OFF = Augment(translate=0, brightness=0, contrast=0, cutout=0, cutout_p=0)


def stream(seed: int = 0) -> Draws:
    return Draws(torch.Generator().manual_seed(seed))


def test_off_changes_nothing() -> None:
    """All parts at 0."""
    images = torch.randn(4, 1, 8, 8)
    assert torch.equal(augment(images, OFF, stream()), images)


def test_translation_shifts_by_whole_pixels_and_repeats_the_edge() -> None:
    """Every row of the result is a shifted row of the source: no new grey level appears, no mirror."""
    ramp = torch.arange(16.0).expand(32, 1, 16, 16).contiguous()
    moved = augment(ramp, Augment(translate=0.25, brightness=0, contrast=0, cutout=0, cutout_p=0), stream())
    steps = moved[:, 0, :, 1:] - moved[:, 0, :, :-1]
    assert set(moved.unique().tolist()) <= set(range(16))
    assert set(steps.unique().tolist()) == {0.0, 1.0}
    shifts = (moved[:, 0, 0, 8] - 8).unique()
    assert shifts.abs().max() <= 4
    assert len(shifts) > 3


def test_grey_levels_change_by_at_most_what_was_asked() -> None:
    """Brightness moves the mean by at most its bound; contrast leaves the mean alone."""
    images = torch.randn(64, 1, 8, 8)
    bright = augment(images, Augment(translate=0, brightness=0.25, contrast=0, cutout=0, cutout_p=0), stream())
    shift = bright.mean(dim=(1, 2, 3)) - images.mean(dim=(1, 2, 3))
    assert 0.15 < shift.abs().max() <= 0.25
    steep = augment(images, Augment(translate=0, brightness=0, contrast=0.3, cutout=0, cutout_p=0), stream())
    ratio = steep.std(dim=(1, 2, 3)) / images.std(dim=(1, 2, 3))
    assert 0.7 - 1e-4 <= ratio.min() < 0.8 < 1.2 < ratio.max() <= 1.3 + 1e-4
    assert torch.allclose(steep.mean(dim=(1, 2, 3)), images.mean(dim=(1, 2, 3)), atol=1e-5)


def test_cutout_hits_its_share_and_fills_with_the_mean() -> None:
    """About half the images at p 0.5, at most a square of half the side each."""
    images = torch.randn(400, 1, 8, 8)
    cut = augment(images, Augment(translate=0, brightness=0, contrast=0, cutout=0.5, cutout_p=0.5), stream())
    changed = (cut != images).flatten(1)
    assert 0.4 < changed.any(dim=1).float().mean() < 0.6
    assert changed.sum(dim=1).max() <= 16
    filled = cut[changed.reshape(images.shape)]
    means = images.mean(dim=(1, 2, 3))
    assert (filled[:, None] - means[None]).abs().min(dim=1).values.max() < 1e-5


def test_same_stream_same_draws_and_gradients_pass() -> None:
    """Real and synthetic get the same kind of change; the generator learns through it."""
    config = Augment(translate=0.125, brightness=0.2, contrast=0.2, cutout=0.5, cutout_p=0.5)
    images = torch.randn(8, 1, 16, 16, requires_grad=True)
    assert torch.equal(augment(images, config, stream(3)), augment(images, config, stream(3)))
    augment(images, config, stream(3)).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
