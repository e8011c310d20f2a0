"""The state of a GAN training: networks, optimisers and time; how it starts and how it is updated between steps."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import torch
from torch import nn

from synthcxr.config.schema import GanConfig
from synthcxr.data.condition import list_columns
from synthcxr.errors import ArtifactError, ConfigError
from synthcxr.networks import net2wider, safetensors_files
from synthcxr.networks.discriminator import Discriminator
from synthcxr.networks.generator import Generator
from synthcxr.training import moment_matching
from synthcxr.training.feature_critic import FeatureCritic
from synthcxr.training.moment_matching import MomentMatchingLoss
from synthcxr.training.schedule import SchedulePoint


@dataclasses.dataclass
class GanState:
    """Networks, optimisers and time. The optimisers belong to the phase that started at `phase_start`.

    `ema` is the averaged generator. `feature_critic` is the optional critic on frozen features; `adam_h` trains its
    heads. `image_moments` are the moment-matching losses on images, by the parameter that weights them.
    """

    generator: Generator
    discriminator: Discriminator
    ema: Generator
    adam_g: torch.optim.Adam
    adam_d: torch.optim.Adam
    nimg: int
    phase_start: int
    feature_critic: FeatureCritic | None = None
    adam_h: torch.optim.Adam | None = None
    image_moments: dict[str, MomentMatchingLoss] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class InitialWeights:
    """The weight files of an earlier training: its averaged generator and its discriminator."""

    generator: Path
    discriminator: Path


def create_state(config: GanConfig, device: torch.device, feature_weights: Path | None = None) -> GanState:
    """Create untrained networks that depend on the config only; the feature critic needs `feature_weights`."""
    channels = {side: n for side, n in config.channels.items() if side <= config.resolution}
    side = 4
    while side <= config.resolution:
        if side not in channels:
            raise ConfigError(f"train_gan.channels.{side}: missing; set the number of channels of this resolution")
        side *= 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        n_condition = len(list_columns(config.condition))
        generator = Generator(config.latent, channels, config.blocks, n_condition)
        discriminator = Discriminator(channels, config.blocks, n_condition)
        critic = None
        if config.feature_critic is not None and feature_weights is not None:
            critic = FeatureCritic(config.feature_critic, feature_weights, device)
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    generator.to(device, memory_format=layout)  # type: ignore[call-overload]
    discriminator.to(device, memory_format=layout)  # type: ignore[call-overload]
    return GanState(
        generator=generator,
        discriminator=discriminator,
        ema=copy.deepcopy(generator).requires_grad_(False),
        adam_g=_create_adam(config, generator, config.lr_g),
        adam_d=_create_adam(config, discriminator, config.lr_d),
        nimg=0,
        phase_start=-1,
        feature_critic=critic,
        adam_h=None if critic is None else _create_adam(config, critic.heads, config.lr_d),
        image_moments={
            name: MomentMatchingLoss(moment_matching.N_CELLS).to(device)
            for name in moment_matching.IMAGE_DESCRIPTORS
            if getattr(config, name)
        },
    )


def load_initial_weights(state: GanState, weights: InitialWeights, seed: int) -> None:
    """Load the networks of an earlier training; resolutions that it did not reach keep their random weights.

    Networks that are narrower by a whole factor are widened and compute the same. An earlier training keeps only the
    averaged G, so it initialises both G and its average. An unconditional model can become a conditional one, which
    then starts with the same images. Raises ArtifactError for other widths, latents, blocks or conditions.
    """
    for network, path in ((state.generator, weights.generator), (state.discriminator, weights.discriminator)):
        tensors, _ = safetensors_files.load(path)
        initial = network.state_dict()
        try:
            widened = net2wider.widen(tensors, {name: tensor.shape for name, tensor in initial.items()}, seed)
        except ArtifactError as error:
            raise ArtifactError(
                f"{path}: does not fit train_gan.latent, channels, blocks and condition ({error}); use the values of"
                " the model that start_from names, or whole multiples of its channels above 4 px"
            ) from error
        network.load_state_dict(initial | widened)
    state.ema.load_state_dict(state.generator.state_dict())


def restart_optimisers(config: GanConfig, state: GanState) -> None:
    """Give every network a new Adam, as at the start of each resolution."""
    state.adam_g = _create_adam(config, state.generator, config.lr_g)
    state.adam_d = _create_adam(config, state.discriminator, config.lr_d)
    state.adam_h = (
        None if state.feature_critic is None else _create_adam(config, state.feature_critic.heads, config.lr_d)
    )


def _create_adam(config: GanConfig, network: nn.Module, lr: float) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=lr, betas=config.betas, eps=1e-8, foreach=True)


def set_learning_rates(config: GanConfig, state: GanState, point: SchedulePoint) -> None:
    """Set the learning rate of every optimiser; the heads on frozen features use that of the discriminator."""
    for adam, lr in ((state.adam_g, config.lr_g), (state.adam_d, config.lr_d), (state.adam_h, config.lr_d)):
        if adam is not None:
            adam.param_groups[0]["lr"] = lr * point.lr_factor


def update_ema(state: GanState, batch: int, half_life_nimg: int) -> None:
    """Move the averaged generator towards the trained one."""
    decay = 0.5 ** (batch / half_life_nimg)
    with torch.no_grad():
        torch._foreach_lerp_(list(state.ema.parameters()), list(state.generator.parameters()), 1 - decay)
