"""One training step: the discriminator's, then the generator's, on the same synthetic images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from synthcxr import seeds
from synthcxr.config import GanConfig
from synthcxr.networks.layers import downsample, upsample
from synthcxr.training import loss
from synthcxr.training.augment import augment
from synthcxr.training.schedule import Moment
from synthcxr.training.state import State

_NONE = float("nan")
_STEPS = 1 << 62  # apart from the latents' and the films' streams of the same seed


@dataclasses.dataclass(frozen=True)
class Losses:
    """Means over one step; what it did not pay is NaN."""

    loss_d: float
    loss_g: float
    penalty: float
    real_logit: float
    synthetic_logit: float
    feature_loss_d: float
    feature_loss_g: float


def stream(seed: int, nimg: int) -> torch.Generator:
    """The random stream of the step at `nimg`, the same whenever and wherever it is run."""
    return torch.Generator().manual_seed(int(seeds.stream(seed, _STEPS + nimg).integers(2**32)))


def crossfade(real: Tensor, alpha: float) -> Tensor:
    """Real images faded in as the networks' are."""
    return real if alpha >= 1.0 else torch.lerp(upsample(downsample(real)), real, alpha)


def run(
    state: State,
    moment: Moment,
    real: Tensor,
    config: GanConfig,
    *,
    bf16: bool,
    index: int,
) -> Losses:
    """Train D, then G, on one batch of real images [N, 1, R, R]; `index` counts steps within the phase.

    With a critic on frozen features, its heads learn between the two, and G answers to it as well.
    """
    device = real.device
    draws = stream(config.seed, state.nimg)
    z = torch.randn(moment.batch, config.latent, generator=draws).to(device)
    real = augment(crossfade(real, moment.alpha), config.augment, draws)
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        synthetic = augment(state.generator(z, moment.resolution, moment.alpha), config.augment, draws)
        synthetic = _layout(synthetic, config)

        def critic(images: Tensor) -> Tensor:
            logits: Tensor = state.discriminator(_layout(images, config), moment.alpha, batch=moment.batch)
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
    state.adam_d.step()

    looked = _look(state, real=real, synthetic=synthetic, resolution=moment.resolution, index=index)
    state.discriminator.requires_grad_(False)
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        loss_g = loss.generator_loss(config.loss, critic(synthetic))
    state.adam_g.zero_grad(set_to_none=True)
    (loss_g if looked is None else loss_g + looked[1]).backward()  # type: ignore[no-untyped-call]
    state.adam_g.step()
    state.discriminator.requires_grad_(True)
    return Losses(
        loss_d.item(),
        loss_g.item(),
        _NONE if penalty is None else penalty.item(),
        real_logits.mean().item(),
        synthetic_logits.mean().item(),
        *((_NONE, _NONE) if looked is None else (each.item() for each in looked)),
    )


def _look(
    state: State, *, real: Tensor, synthetic: Tensor, resolution: int, index: int
) -> tuple[Tensor, Tensor] | None:
    """Train the heads on frozen features; their loss and G's, or None where no critic looks at this resolution."""
    features, adam = state.features, state.adam_h
    if features is None or adam is None or not features.looks_at(resolution):
        return None
    with torch.no_grad():
        real_maps = features.maps(real)
    maps = features.maps(synthetic)
    loss_d = features.loss_d(real=real_maps, synthetic=maps, index=index)
    adam.zero_grad(set_to_none=True)
    loss_d.backward()  # type: ignore[no-untyped-call]
    adam.step()
    features.heads.requires_grad_(False)
    loss_g = features.loss_g(maps)
    features.heads.requires_grad_(True)
    return loss_d, loss_g


def _penalty(
    config: GanConfig, critic: Callable[[Tensor], Tensor], *, real: Tensor, synthetic: Tensor, draws: torch.Generator
) -> Tensor:
    if config.loss == "r1":
        return loss.r1_penalty(critic, real)
    mix = torch.rand(real.shape[0], 1, 1, 1, generator=draws).to(real.device)
    return loss.wgan_penalty(critic, real=real, synthetic=synthetic, mix=mix)


def _layout(images: Tensor, config: GanConfig) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last) if config.channels_last else images
