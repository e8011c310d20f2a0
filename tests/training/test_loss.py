"""Losses and gradient penalties have known values."""

import math

import pytest
import torch
from torch import Tensor

from synthcxr.training import loss

WEIGHT = torch.arange(1.0, 5.0).reshape(1, 1, 2, 2)  # squares sum to 30


def linear(images: Tensor) -> Tensor:
    return (images * WEIGHT).sum(dim=(1, 2, 3))


def quadratic(images: Tensor) -> Tensor:
    return images.square().sum(dim=(1, 2, 3))


def test_wgan_loss_with_drift() -> None:
    """The loss of D is the synthetic mean minus the real mean plus the drift times the mean square of real logits."""
    real, synthetic = torch.tensor([1.0, 3.0]), torch.tensor([-1.0, 0.0])
    value = loss.discriminator_loss("wgan-gp", real=real, synthetic=synthetic, drift=0.1)
    assert value.item() == pytest.approx(-0.5 - 2 + 0.1 * 5)
    assert loss.generator_loss("wgan-gp", synthetic).item() == pytest.approx(0.5)


def test_logistic_loss() -> None:
    """At logit 0 each term is log 2; for G, a logit of 2 gives log(1 + e**-2)."""
    zero = torch.zeros(3)
    assert loss.discriminator_loss("r1", real=zero, synthetic=zero, drift=0).item() == pytest.approx(2 * math.log(2))
    assert loss.generator_loss("r1", zero + 2).item() == pytest.approx(math.log1p(math.exp(-2)))


def test_r1_of_a_linear_and_a_quadratic_critic() -> None:
    """It is half of |w|^2 for w . x, and half of 4 |x|^2 for |x|^2."""
    assert loss.r1_penalty(linear, torch.randn(5, 1, 2, 2)).item() == pytest.approx(15)
    assert loss.r1_penalty(quadratic, torch.full((2, 1, 2, 2), 3.0)).item() == pytest.approx(0.5 * 4 * 36)


def test_wgan_penalty_of_a_linear_and_a_quadratic_critic() -> None:
    """It is (|w| - 1)^2 for w . x; for |x|^2 between 0 and 2 at mix 0.5 the gradient norm is 2 |x| = 4."""
    real, synthetic, mix = torch.zeros(3, 1, 2, 2), torch.full((3, 1, 2, 2), 2.0), torch.full((3, 1, 1, 1), 0.5)
    assert loss.wgan_penalty(linear, real=real, synthetic=synthetic, mix=mix).item() == pytest.approx(
        (math.sqrt(30) - 1) ** 2, rel=1e-5
    )
    assert loss.wgan_penalty(quadratic, real=real, synthetic=synthetic, mix=mix).item() == pytest.approx(9, rel=1e-5)


def test_penalties_train_the_critic() -> None:
    """For the critic a * w . x, the gradient of the penalty with respect to a is that of a^2 |w|^2 / 2."""
    scale = torch.tensor(2.0, requires_grad=True)
    loss.r1_penalty(lambda x: scale * linear(x), torch.randn(4, 1, 2, 2)).backward()
    assert scale.grad is not None
    assert scale.grad.item() == pytest.approx(2 * 30)
