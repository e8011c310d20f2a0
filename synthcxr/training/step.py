"""One training step: the discriminator's, then the generator's, on the same synthetic images."""

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
from synthcxr.training.checkpoint import State
from synthcxr.training.distributed import ALONE, Ranks
from synthcxr.training.schedule import Moment
from synthcxr.training.step_rng import Draws

_STEPS = 1 << 62  # apart from the latents' and the films' streams of the same seed


@dataclasses.dataclass(frozen=True)
class Losses:
    """Means over one step of all ranks; what it did not pay is NaN."""

    loss_d: float
    loss_g: float
    penalty: float
    real_logit: float
    synthetic_logit: float
    feature_loss_d: float
    feature_loss_g: float


def stream(seed: int, nimg: int) -> torch.Generator:
    """The random stream of the step at `nimg`, the same whenever and wherever it is run."""
    return torch.Generator().manual_seed(int(random_streams.stream(seed, _STEPS + nimg).integers(2**32)))


def crossfade(real: Tensor, alpha: float) -> Tensor:
    """Real images faded in as the networks' are."""
    return real if alpha >= 1.0 else torch.lerp(upsample(downsample(real)), real, alpha)


def run(
    state: State, moment: Moment, real: Tensor, config: GanConfig, *, bf16: bool, index: int, ranks: Ranks = ALONE
) -> Losses:
    """Train D, then G, on one batch; `index` counts steps within the phase.

    `real` [N, 1, R, R] are this rank's images of the batch, as many as every other's. With a critic on frozen
    features, its heads learn between the two, and G answers to it as well. Moments of images are taken before
    augmentation, which would hide how films vary in pose.
    """
    device, batch = real.device, real.shape[0]
    draws = Draws(stream(config.seed, state.nimg), ranks)
    z = draws.normal(batch, config.latent).to(real)
    shown = crossfade(real, moment.alpha)
    real = augment(shown, config.augment, draws)
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        made = state.generator(z, moment.resolution, moment.alpha)
        synthetic = _layout(augment(made, config.augment, draws), config)

        def critic(images: Tensor) -> Tensor:
            logits: Tensor = state.discriminator(_layout(images, config), moment.alpha, batch=batch)
            return logits

        logits = critic(torch.cat([real, synthetic.detach()]))
        real_logits, synthetic_logits = logits.chunk(2)
        loss_d = loss.discriminator_loss(config.loss, real=real_logits, synthetic=synthetic_logits, drift=config.drift)
        penalty = None
        if index % config.penalty_interval == 0:
            penalty = _penalty(config, critic, real=real, synthetic=synthetic.detach(), draws=draws)
    total = loss_d if penalty is None else loss_d + config.penalty * config.penalty_interval * penalty
    state.adam_d.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    ranks.average_gradients(state.discriminator)
    state.adam_d.step()

    looked = _look(state, real=real, synthetic=synthetic, index=index, ranks=ranks)
    state.discriminator.requires_grad_(False)
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        loss_g = loss.generator_loss(config.loss, critic(synthetic))
    total = loss_g if looked is None else loss_g + looked[1]
    for name, held in state.moments.items():
        describe, least = moment_matching.OF_IMAGES[name]
        if moment.resolution >= least:
            distance = held(real=describe(shown), synthetic=describe(made), ranks=ranks)
            total = total + getattr(config, name) * distance
    state.adam_g.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    ranks.average_gradients(state.generator)
    state.adam_g.step()
    state.discriminator.requires_grad_(True)
    nothing = loss_d.new_tensor(float("nan"))
    paid = nothing if penalty is None else penalty
    figures = (loss_d, loss_g, paid, real_logits.mean(), synthetic_logits.mean(), *(looked or (nothing, nothing)))
    return Losses(*ranks.mean(torch.stack(figures).detach()).tolist())


def _look(state: State, *, real: Tensor, synthetic: Tensor, index: int, ranks: Ranks) -> tuple[Tensor, Tensor] | None:
    """Train the heads on frozen features; their loss and G's, or None where no critic looks at images of this side."""
    features, adam = state.features, state.adam_h
    if features is None or adam is None or not features.looks_at(real.shape[-1]):
        return None
    with torch.no_grad():
        real_maps = features.maps(real)
    maps = features.maps(synthetic)
    loss_d = features.loss_d(real=real_maps, synthetic=maps, index=index)
    adam.zero_grad(set_to_none=True)
    loss_d.backward()  # type: ignore[no-untyped-call]
    ranks.average_gradients(features.heads)
    adam.step()
    features.heads.requires_grad_(False)
    loss_g = features.loss_g(real=real_maps, synthetic=maps, ranks=ranks)
    features.heads.requires_grad_(True)
    return loss_d, loss_g


def _penalty(
    config: GanConfig, critic: Callable[[Tensor], Tensor], *, real: Tensor, synthetic: Tensor, draws: Draws
) -> Tensor:
    if config.loss == "r1":
        return loss.r1_penalty(critic, real)
    mix = draws.uniform(real.shape[0], 1, 1, 1).to(real)
    return loss.wgan_penalty(critic, real=real, synthetic=synthetic, mix=mix)


def _layout(images: Tensor, config: GanConfig) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last) if config.channels_last else images
