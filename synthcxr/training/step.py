"""One training step: update the discriminator, then the generator, on the same synthetic images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from synthcxr.config.schema import GanConfig
from synthcxr.data import random_streams
from synthcxr.networks.layers import downsample, upsample
from synthcxr.training import loss, moment_matching
from synthcxr.training.augment import augment
from synthcxr.training.distributed import SINGLE_PROCESS, Ranks
from synthcxr.training.gan_state import GanState
from synthcxr.training.schedule import SchedulePoint
from synthcxr.training.step_rng import StepRng

_STEP_STREAM = 1 << 62
"""Offset that separates these streams from those of the latents and the films of the same seed."""


@dataclasses.dataclass(frozen=True)
class Losses:
    """Means of one step over all ranks; a loss that the step does not compute is NaN."""

    loss_d: float
    loss_g: float
    penalty: float
    real_logit: float
    synthetic_logit: float
    feature_loss_d: float
    feature_loss_g: float


def step_stream(seed: int, nimg: int) -> torch.Generator:
    """Return the random stream of the step at `nimg`; it depends on nothing else."""
    return torch.Generator().manual_seed(int(random_streams.open_stream(seed, _STEP_STREAM + nimg).integers(2**32)))


def crossfade(real: Tensor, alpha: float) -> Tensor:
    """Fade real images in from half the resolution, as the networks do."""
    return real if alpha >= 1.0 else torch.lerp(upsample(downsample(real)), real, alpha)


def fade_condition(conditions: Tensor | None, weight: float) -> Tensor | None:
    """Weight conditions, which both networks embed linearly; with a weight of 0, the networks get none."""
    return None if conditions is None or weight == 0 else conditions * weight


def run_step(
    state: GanState,
    point: SchedulePoint,
    real: Tensor,
    config: GanConfig,
    *,
    bf16: bool,
    index: int,
    ranks: Ranks = SINGLE_PROCESS,
    conditions: Tensor | None = None,
) -> Losses:
    """Train D, then G, on one batch; `index` counts the steps of the phase.

    `real` [N, 1, R, R] is the share of this rank, equal for all ranks. Image moments are computed before augmentation,
    which would hide how the pose of the films varies. In a conditional GAN, `conditions` [N, C] are those of the real
    images, and the synthetic images get the same ones.
    """
    # Generate images, and augment real and synthetic ones.
    device, batch = real.device, real.shape[0]
    rng = StepRng(step_stream(config.seed, state.nimg), ranks)
    z = rng.normal(batch, config.latent).to(real)
    condition = fade_condition(conditions, point.condition_weight)
    real_unaugmented = crossfade(real, point.alpha)
    real = augment(real_unaugmented, config.augment, rng)
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        synthetic_unaugmented = state.generator(z, point.resolution, point.alpha, condition)
        synthetic = _set_layout(augment(synthetic_unaugmented, config.augment, rng), config)

        def critic(images: Tensor) -> Tensor:
            repeated = None if condition is None else condition.repeat(len(images) // batch, 1)
            logits: Tensor = state.discriminator(
                _set_layout(images, config), point.alpha, batch=batch, condition=repeated
            )
            return logits

        # Train D, with the gradient penalty every few steps.
        logits = critic(torch.cat([real, synthetic.detach()]))
        real_logits, synthetic_logits = logits.chunk(2)
        loss_d = loss.discriminator_loss(config.loss, real=real_logits, synthetic=synthetic_logits, drift=config.drift)
        penalty = None
        if index % config.penalty_interval == 0:
            penalty = _gradient_penalty(config, critic, real=real, synthetic=synthetic.detach(), rng=rng)
    total = loss_d if penalty is None else loss_d + config.penalty * config.penalty_interval * penalty
    state.adam_d.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    ranks.average_gradients(state.discriminator)
    state.adam_d.step()

    # Train the heads of the feature critic.
    feature_losses = _train_feature_critic(state, real=real, synthetic=synthetic, index=index, ranks=ranks)

    # Train G against D, the feature critic and the image moments.
    state.discriminator.requires_grad_(False)
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        loss_g = loss.generator_loss(config.loss, critic(synthetic))
    total = loss_g if feature_losses is None else loss_g + feature_losses[1]
    for name, moment_loss in state.image_moments.items():
        describe, min_side = moment_matching.IMAGE_DESCRIPTORS[name]
        if point.resolution >= min_side:
            distance = moment_loss(
                real=describe(real_unaugmented), synthetic=describe(synthetic_unaugmented), ranks=ranks
            )
            total = total + getattr(config, name) * distance
    state.adam_g.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    ranks.average_gradients(state.generator)
    state.adam_g.step()
    state.discriminator.requires_grad_(True)

    # Average the losses over the ranks.
    nan = loss_d.new_tensor(float("nan"))
    losses = (
        loss_d,
        loss_g,
        nan if penalty is None else penalty,
        real_logits.mean(),
        synthetic_logits.mean(),
        *(feature_losses or (nan, nan)),
    )
    return Losses(*ranks.mean(torch.stack(losses).detach()).tolist())


def _train_feature_critic(
    state: GanState, *, real: Tensor, synthetic: Tensor, index: int, ranks: Ranks
) -> tuple[Tensor, Tensor] | None:
    """Train the heads on frozen features and return (their loss, the loss of G); None without a critic at this side."""
    critic, adam = state.feature_critic, state.adam_h
    if critic is None or adam is None or not critic.accepts_resolution(real.shape[-1]):
        return None
    with torch.no_grad():
        real_maps = critic.compute_maps(real)
    synthetic_maps = critic.compute_maps(synthetic)
    loss_d = critic.loss_d(real=real_maps, synthetic=synthetic_maps, index=index)
    adam.zero_grad(set_to_none=True)
    loss_d.backward()  # type: ignore[no-untyped-call]
    ranks.average_gradients(critic.heads)
    adam.step()
    critic.heads.requires_grad_(False)
    loss_g = critic.loss_g(real=real_maps, synthetic=synthetic_maps, ranks=ranks)
    critic.heads.requires_grad_(True)
    return loss_d, loss_g


def _gradient_penalty(
    config: GanConfig, critic: Callable[[Tensor], Tensor], *, real: Tensor, synthetic: Tensor, rng: StepRng
) -> Tensor:
    if config.loss == "r1":
        return loss.r1_penalty(critic, real)
    mix = rng.uniform(real.shape[0], 1, 1, 1).to(real)
    return loss.wgan_penalty(critic, real=real, synthetic=synthetic, mix=mix)


def _set_layout(images: Tensor, config: GanConfig) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last) if config.channels_last else images
