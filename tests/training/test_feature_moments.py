"""Running moments of frozen features: known values, whose gradient it is, and what minimising it does."""

import torch

from synthcxr.networks.lite1 import MAPS
from synthcxr.training.feature_moments import FeatureMoments, described


def maps(n: int, *, seed: int, shift: float = 0.0, scale: float = 1.0) -> list[torch.Tensor]:
    stream = torch.Generator().manual_seed(seed)
    return [shift + scale * torch.randn(n, n_channels, 4, 4, generator=stream) for n_channels, _ in MAPS.values()]


def test_what_describes_an_image() -> None:
    """Mean and standard deviation over positions, map by map."""
    found = described([torch.arange(8.0).view(1, 2, 2, 2), torch.ones(1, 1, 2, 2)])
    spread = (1.25 + 1e-4) ** 0.5
    assert torch.allclose(found, torch.tensor([[1.5, 5.5, spread, spread, 1.0, 0.01]]))


def test_running_moments_are_those_of_all_images_at_first() -> None:
    """Before a thousand images nothing is forgotten, so batches of any size give the same."""
    whole, parts = FeatureMoments(), FeatureMoments()
    x = maps(48, seed=1)
    whole(real=x, synthetic=x)
    for start in range(0, 48, 8):
        part = [m[start : start + 8] for m in x]
        parts(real=part, synthetic=part)
    assert torch.allclose(whole.real_mean, parts.real_mean, atol=1e-5)
    assert torch.allclose(whole.real_square, parts.real_square, atol=1e-4)
    assert torch.allclose(whole.real_mean, described(x).mean(0), atol=1e-5)


def test_equal_images_are_no_distance_apart_and_others_are() -> None:
    """Zero for the same batch, more for a shifted one, and for one of less variety with the same mean."""
    x = maps(2000, seed=1)
    assert FeatureMoments()(real=x, synthetic=x).item() == 0.0
    one = [m[:1].expand(2000, -1, -1, -1) for m in x]
    near, shifted, poor = (
        FeatureMoments()(real=x, synthetic=other).item()
        for other in (maps(2000, seed=2), maps(2000, seed=2, shift=1.0), one)
    )
    assert 0 < near < poor
    assert near < shifted


def test_the_gradient_is_the_batchs_own_in_full() -> None:
    """However long the memory, a batch is pushed as if the statistics were its own: old images do not dilute it."""
    moments = FeatureMoments()
    x = maps(16, seed=1)
    for seed in range(2, 100):
        moments(real=maps(16, seed=seed), synthetic=maps(16, seed=seed + 1000, shift=1.0))
    pushed = [m.requires_grad_() for m in maps(16, seed=5, shift=1.0)]
    moments(real=x, synthetic=pushed).backward()
    assert all(m.grad is not None and m.grad.mean().item() > 0 for m in pushed)
    lone = [m.detach().requires_grad_() for m in pushed]
    fresh = FeatureMoments()
    fresh(real=maps(1000, seed=3), synthetic=lone).backward()
    size, expected = (sum(m.grad.abs().mean().item() for m in held if m.grad is not None) for held in (pushed, lone))
    assert 0.1 < size / expected < 10
