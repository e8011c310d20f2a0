"""Distil generator and classifier into a proposal: fit pairs of latents and logits."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from synthcxr.config import DistillConfig
from synthcxr.errors import ConfigError
from synthcxr.networks.generator import Generator
from synthcxr.networks.proposal import Glance, Look, Proposal, trunk
from synthcxr.training import device as devices

Float32 = NDArray[np.float32]
WEIGHT_DECAY = 1e-2
BATCH = 256


def fit(config: DistillConfig, generator: Generator, latents: Float32, logits: Float32) -> Proposal:
    """The proposal with the least squared error on pairs [n, Z], [n, 14]; each finding counts in its own spread.

    `generator` gives its first layers to it. ConfigError where it makes no maps of `side` px.
    """
    device, side = devices.pick(config.device), config.look.side
    if side not in generator.resolutions:
        raise ConfigError(
            f"distill.look.side: {side} px is no size of this generator, which has up to {generator.resolutions[-1]}"
        )
    n_maps = _n_maps(generator, side)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        glance = Glance(latents.shape[1], config.glance.width, config.glance.depth)
        network = Proposal(glance, Look(trunk(generator, side), n_maps, config.look.width))
    network.centre.copy_(torch.from_numpy(logits.mean(axis=0)))
    network.scale.copy_(torch.from_numpy(np.maximum(logits.std(axis=0), 1e-6)))
    network.to(device)
    z, wanted = (torch.from_numpy(values).to(device) for values in (latents, logits))
    wanted = (wanted - network.centre) / network.scale
    for part, n_epochs in ((network.glance, config.glance.n_epochs), (network.look, config.look.n_epochs)):
        _fit(part, n_epochs, config, z, wanted)
    return network.cpu().eval()


def guessed(network: Proposal, latents: Float32) -> tuple[Float32, Float32]:
    """What a glance and a look make of latents [n, Z], each [n, 14]."""
    with torch.no_grad():
        parts = [network(each) for each in torch.split(torch.from_numpy(latents), BATCH)]
    glanced, looked = (torch.cat(held).numpy() for held in zip(*parts, strict=True))
    return glanced, looked


def _n_maps(generator: Generator, side: int) -> int:
    with torch.no_grad():
        return generator.maps(torch.zeros(1, generator.latent), side)[1].shape[1]


def _fit(network: nn.Module, n_epochs: int, config: DistillConfig, z: Tensor, wanted: Tensor) -> None:
    """By AdamW on a warm start and a cosine, over shuffled passes that follow the seed."""
    learning = [each for each in network.parameters() if each.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=config.lr, weight_decay=WEIGHT_DECAY)
    order = np.random.default_rng(config.seed)
    n_steps = n_epochs * math.ceil(len(z) / config.batch)
    warm = max(1, n_steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda at: min((at + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * at / n_steps))
    )
    for _ in tqdm(range(n_epochs), unit="epoch", disable=None):
        shuffled = torch.from_numpy(order.permutation(len(z))).to(z.device)
        for rows in torch.split(shuffled, config.batch):
            error = network(z[rows]) - wanted[rows]
            optimiser.zero_grad()
            error.square().mean().backward()
            optimiser.step()
            schedule.step()
