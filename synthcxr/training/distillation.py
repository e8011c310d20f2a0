"""Distils the generator and the classifier into a latent classifier, from pairs of latents and logits."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from synthcxr.config.schema import DistillConfig
from synthcxr.networks.device import select_device
from synthcxr.networks.latent_classifier import LatentClassifier
from synthcxr.storage.progress import track

Float32 = NDArray[np.float32]
WEIGHT_DECAY = 1e-2


def fit_latent_classifier(config: DistillConfig, latents: Float32, logits: Float32) -> LatentClassifier:
    """Fit a latent classifier by least squares to pairs [n, Z], [n, 14].

    The error of each finding is measured in units of the standard deviation of its logits.
    """
    device = select_device(config.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = LatentClassifier(latents.shape[1], config.width, config.depth)
    network.centre.copy_(torch.from_numpy(logits.mean(axis=0)))
    network.scale.copy_(torch.from_numpy(np.maximum(logits.std(axis=0), 1e-6)))
    network.to(device)
    z, targets = (torch.from_numpy(values).to(device) for values in (latents, logits))
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=WEIGHT_DECAY)
    rng = np.random.default_rng(config.seed)
    n_steps = config.n_epochs * math.ceil(len(z) / config.batch)
    n_warm_up = max(1, n_steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / n_warm_up, 0.5 + 0.5 * math.cos(math.pi * step / n_steps))
    )
    for _ in track(range(config.n_epochs), "proposal network", unit="epochs"):
        order = torch.from_numpy(rng.permutation(len(z))).to(device)
        for rows in torch.split(order, config.batch):
            error = (network(z[rows]) - targets[rows]) / network.scale
            optimiser.zero_grad()
            error.square().mean().backward()
            optimiser.step()
            schedule.step()
    return network.cpu().eval()
