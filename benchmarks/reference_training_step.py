"""The reference step of benchmarks/train.py: the same networks, losses and augmentation in plain torch operations.

fp32, NCHW, eager. Synthetic images are generated twice per step and go through D separately from real ones. The
penalty interval is the same.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from synthcxr.config.schema import GanConfig
from synthcxr.networks.discriminator import Discriminator
from synthcxr.networks.generator import Generator
from synthcxr.networks.layers import Pointwise, minibatch_stddev
from synthcxr.training import gan_state, loss, step
from synthcxr.training.augment import augment
from synthcxr.training.gan_state import GanState
from synthcxr.training.step_rng import StepRng

CPU = torch.device("cpu")


def generate(network: Generator, z: Tensor) -> Tensor:
    """Generate images at the largest resolution."""
    x = network.dense(_normalize_pixels(z)).reshape(z.shape[0], -1, 4, 4) + network.dense_bias
    x = _activate(network.conv(_activate(x)))
    for side in network.resolutions[1:]:
        block: Any = network.blocks[str(side)]
        if block.lean:
            x = F.interpolate(_activate(block.conv1(x)), scale_factor=2.0)
        else:
            x = _activate(block.conv1(F.interpolate(x, scale_factor=2.0)))
        x = _activate(block.conv2(x))
    to_grey: Any = network.to_grey[str(network.resolutions[-1])]
    return _apply_pointwise(to_grey, x)


def discriminate(network: Discriminator, images: Tensor, *, lean: bool) -> Tensor:
    """Compute the discriminator's logits at the largest resolution."""
    from_grey: Any = network.from_grey[str(images.shape[-1])]
    x = F.leaky_relu(_apply_pointwise(from_grey, images), 0.2)
    for side in reversed(network.resolutions[1:]):
        block: Any = network.blocks[str(side)]
        deep = F.leaky_relu(block.conv1(x), 0.2)
        if lean:
            deep = F.leaky_relu(block.conv2(F.avg_pool2d(deep, 2)), 0.2)
            x = (deep + block.skip(F.avg_pool2d(x, 2))) * math.sqrt(0.5)
        else:
            x = F.avg_pool2d(F.leaky_relu(block.conv2(deep), 0.2), 2)
    x = F.leaky_relu(network.conv(minibatch_stddev(x, len(x))), 0.2)
    logits: Tensor = network.logit(F.leaky_relu(network.dense(x.flatten(1)), 0.2)).squeeze(1)
    return logits


def largest_difference(config: GanConfig) -> float:
    """Return the largest absolute difference of images and logits from those of the package's networks."""
    state = gan_state.create_state(config, CPU)
    z = torch.randn(2, config.latent)
    reference_images, images = generate(state.generator, z), state.generator(z)
    logit_differences = discriminate(state.discriminator, images, lean=config.blocks == "lean") - state.discriminator(
        images
    )
    return max(float(values.detach().abs().max()) for values in (reference_images - images, logit_differences))


def create_reference_state(config: GanConfig) -> GanState:
    """Create the training state with NCHW networks."""
    return gan_state.create_state(dataclasses.replace(config, channels_last=False), CPU)


def make_step(config: GanConfig, state: GanState, batch: int) -> Callable[[int], None]:
    """Return the training step, a function of the step index."""
    real = torch.rand(batch, 1, config.resolution, config.resolution) * 2 - 1
    adam_g = torch.optim.Adam(state.generator.parameters(), lr=config.lr_g, betas=config.betas)
    adam_d = torch.optim.Adam(state.discriminator.parameters(), lr=config.lr_d, betas=config.betas)
    ema_decay = 0.5 ** (batch / config.ema_half_life_nimg)

    def critic(images: Tensor) -> Tensor:
        return discriminate(state.discriminator, images, lean=config.blocks == "lean")

    def run_step(index: int) -> None:
        rng = StepRng(step.step_stream(config.seed, index))
        real_images = augment(real, config.augment, rng)
        with torch.no_grad():
            synthetic_images = augment(
                generate(state.generator, torch.randn(batch, config.latent)), config.augment, rng
            )
        loss_d = loss.discriminator_loss(
            config.loss, real=critic(real_images), synthetic=critic(synthetic_images), drift=config.drift
        )
        if index % config.penalty_interval == 0:
            loss_d = loss_d + config.penalty * config.penalty_interval * _penalty(
                config, critic, real_images, synthetic_images
            )
        adam_d.zero_grad()
        loss_d.backward()  # type: ignore[no-untyped-call]
        adam_d.step()
        new_images = augment(generate(state.generator, torch.randn(batch, config.latent)), config.augment, rng)
        adam_g.zero_grad()
        loss.generator_loss(config.loss, critic(new_images)).backward()  # type: ignore[no-untyped-call]
        adam_g.step()
        with torch.no_grad():
            for averaged, live in zip(state.ema.parameters(), state.generator.parameters(), strict=True):
                averaged.lerp_(live, 1 - ema_decay)

    return run_step


def _penalty(config: GanConfig, critic: Callable[[Tensor], Tensor], real: Tensor, synthetic: Tensor) -> Tensor:
    if config.loss == "r1":
        return loss.r1_penalty(critic, real)
    return loss.wgan_penalty(critic, real=real, synthetic=synthetic, mix=torch.rand(len(real), 1, 1, 1))


def _normalize_pixels(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


def _activate(x: Tensor) -> Tensor:
    return _normalize_pixels(F.leaky_relu(x, 0.2))


def _apply_pointwise(layer: Pointwise, x: Tensor) -> Tensor:
    return F.conv2d(x, layer.scaled_weight(), layer.bias)
