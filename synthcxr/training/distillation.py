"""Distil generator and classifier into a proposal: fit pairs of latents and logits."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from synthcxr.config.schema import DistillConfig
from synthcxr.networks import device as devices
from synthcxr.networks.latent_classifier import Proposal

Float32 = NDArray[np.float32]
WEIGHT_DECAY = 1e-2


def fit(config: DistillConfig, latents: Float32, logits: Float32) -> Proposal:
    """The proposal with the least squared error on pairs [n, Z], [n, 14]; each finding counts in its own spread."""
    device = devices.pick(config.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = Proposal(latents.shape[1], config.width, config.depth)
    network.centre.copy_(torch.from_numpy(logits.mean(axis=0)))
    network.scale.copy_(torch.from_numpy(np.maximum(logits.std(axis=0), 1e-6)))
    network.to(device)
    z, wanted = (torch.from_numpy(values).to(device) for values in (latents, logits))
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=WEIGHT_DECAY)
    order = np.random.default_rng(config.seed)
    n_steps = config.n_epochs * math.ceil(len(z) / config.batch)
    warm = max(1, n_steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda at: min((at + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * at / n_steps))
    )
    for _ in tqdm(range(config.n_epochs), unit="epoch", disable=None):
        shuffled = torch.from_numpy(order.permutation(len(z))).to(device)
        for rows in torch.split(shuffled, config.batch):
            error = (network(z[rows]) - wanted[rows]) / network.scale
            optimiser.zero_grad()
            error.square().mean().backward()
            optimiser.step()
            schedule.step()
    return network.cpu().eval()
