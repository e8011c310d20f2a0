"""The losses of both networks: WGAN-GP with drift (the paper), or the logistic loss with R1.

Sources: Gulrajani et al., arXiv 1704.00028 (gradient penalty); Karras et al., arXiv 1710.10196 (drift);
Mescheder et al., arXiv 1801.04406 (R1); Karras et al., arXiv 1912.04958 (lazy regularisation).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Critic = Callable[[Tensor], Tensor]


def discriminator_loss(kind: str, *, real: Tensor, synthetic: Tensor, drift: float) -> Tensor:
    """Mean loss of D over real and synthetic logits, [N] each, without the gradient penalty."""
    if kind == "wgan-gp":
        return synthetic.mean() - real.mean() + drift * real.square().mean()
    return F.softplus(-real).mean() + F.softplus(synthetic).mean() + drift * real.square().mean()


def generator_loss(kind: str, synthetic: Tensor) -> Tensor:
    """Mean loss of G over the logits [N] of its images."""
    if kind == "wgan-gp":
        return -synthetic.mean()
    return F.softplus(-synthetic).mean()


def squared_gradient_norm(critic: Critic, images: Tensor) -> Tensor:
    """Squared norm [N] of the gradient of the critic at each image; it is differentiable itself."""
    images = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3))


def r1_penalty(critic: Critic, real: Tensor) -> Tensor:
    """Half the mean squared gradient norm at real images."""
    return 0.5 * squared_gradient_norm(critic, real).mean()


def wgan_penalty(critic: Critic, *, real: Tensor, synthetic: Tensor, mix: Tensor) -> Tensor:
    """Mean of (gradient norm - 1)^2 at interpolated images; `mix` [N, 1, 1, 1] is 0 for real and 1 for synthetic."""
    interpolated = torch.lerp(real, synthetic, mix)
    return (torch.sqrt(squared_gradient_norm(critic, interpolated) + 1e-12) - 1).square().mean()
