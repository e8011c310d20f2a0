"""The plain side of benchmarks/train.py: the same networks, losses and augmentation in torch's own operations.

fp32, NCHW, eager; synthetic images are made twice and judged apart from the real ones; the penalty is paid as often.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

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
    """Images at the generator's largest side."""
    x = network.dense(_normalised(z)).reshape(z.shape[0], -1, 4, 4) + network.dense_bias
    x = _active(network.conv(_active(x)))
    for side in network.resolutions[1:]:
        block = network.blocks[str(side)]
        if block.lean:
            x = F.interpolate(_active(block.conv1(x)), scale_factor=2.0)
        else:
            x = _active(block.conv1(F.interpolate(x, scale_factor=2.0)))
        x = _active(block.conv2(x))
    return _one_by_one(network.to_grey[str(network.resolutions[-1])], x)


def judge(network: Discriminator, images: Tensor, *, lean: bool) -> Tensor:
    """Logits of images of the discriminator's largest side."""
    x = F.leaky_relu(_one_by_one(network.from_grey[str(images.shape[-1])], images), 0.2)
    for side in reversed(network.resolutions[1:]):
        block = network.blocks[str(side)]
        deep = F.leaky_relu(block.conv1(x), 0.2)
        if lean:
            deep = F.leaky_relu(block.conv2(F.avg_pool2d(deep, 2)), 0.2)
            x = (deep + block.skip(F.avg_pool2d(x, 2))) * math.sqrt(0.5)
        else:
            x = F.avg_pool2d(F.leaky_relu(block.conv2(deep), 0.2), 2)
    x = F.leaky_relu(network.conv(minibatch_stddev(x, len(x))), 0.2)
    return network.logit(F.leaky_relu(network.dense(x.flatten(1)), 0.2)).squeeze(1)


def difference(config: GanConfig) -> float:
    """The largest by which an image's or a logit's value is another than in the package's networks while they train."""
    state = gan_state.create_state(config, CPU)
    z = torch.randn(2, config.latent)
    theirs, own = generate(state.generator, z), state.generator(z)
    logits = judge(state.discriminator, own, lean=config.blocks == "lean") - state.discriminator(own)
    return max(float(each.detach().abs().max()) for each in (theirs - own, logits))


def fresh(config: GanConfig) -> GanState:
    """Networks in NCHW."""
    return gan_state.create_state(dataclasses.replace(config, channels_last=False), CPU)


def step_of(config: GanConfig, state: GanState, batch: int) -> Callable[[int], None]:
    """The training step; it takes the step's number."""
    real = torch.rand(batch, 1, config.resolution, config.resolution) * 2 - 1
    adam_g = torch.optim.Adam(state.generator.parameters(), lr=config.lr_g, betas=config.betas)
    adam_d = torch.optim.Adam(state.discriminator.parameters(), lr=config.lr_d, betas=config.betas)
    keep = 0.5 ** (batch / config.ema_half_life_nimg)

    def critic(images: Tensor) -> Tensor:
        return judge(state.discriminator, images, lean=config.blocks == "lean")

    def take(index: int) -> None:
        draws = StepRng(step.step_stream(config.seed, index))
        seen = augment(real, config.augment, draws)
        with torch.no_grad():
            made = augment(generate(state.generator, torch.randn(batch, config.latent)), config.augment, draws)
        total = loss.discriminator_loss(config.loss, real=critic(seen), synthetic=critic(made), drift=config.drift)
        if index % config.penalty_interval == 0:
            total = total + config.penalty * config.penalty_interval * _penalty(config, critic, seen, made)
        adam_d.zero_grad()
        total.backward()
        adam_d.step()
        again = augment(generate(state.generator, torch.randn(batch, config.latent)), config.augment, draws)
        adam_g.zero_grad()
        loss.generator_loss(config.loss, critic(again)).backward()
        adam_g.step()
        with torch.no_grad():
            for averaged, live in zip(state.ema.parameters(), state.generator.parameters(), strict=True):
                averaged.lerp_(live, 1 - keep)

    return take


def _penalty(config: GanConfig, critic: Callable[[Tensor], Tensor], real: Tensor, synthetic: Tensor) -> Tensor:
    if config.loss == "r1":
        return loss.r1_penalty(critic, real)
    return loss.wgan_penalty(critic, real=real, synthetic=synthetic, mix=torch.rand(len(real), 1, 1, 1))


def _normalised(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


def _active(x: Tensor) -> Tensor:
    return _normalised(F.leaky_relu(x, 0.2))


def _one_by_one(layer: Pointwise, x: Tensor) -> Tensor:
    return F.conv2d(x, layer.scaled_weight(), layer.bias)
