"""A small network that predicts the classifier's logits from a latent, without generating the image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from synthcxr.data.findings import FINDINGS
from synthcxr.networks.layers import pixel_norm


class LatentClassifier(nn.Module):
    """Maps z [N, latent] to logits [N, 14]: a residual perceptron on the normalised latent.

    The generator uses the normalised latent only. `scale` and `centre` give the outputs the standard deviation and
    mean of the logits from which the network was distilled.
    """

    scale: Tensor
    centre: Tensor

    def __init__(self, latent: int, width: int, depth: int) -> None:
        super().__init__()
        self.first = nn.Linear(latent, width)
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.last = nn.Linear(width, len(FINDINGS))
        self.skip = nn.Linear(latent, len(FINDINGS), bias=False)
        self.register_buffer("scale", torch.ones(len(FINDINGS)))
        self.register_buffer("centre", torch.zeros(len(FINDINGS)))

    def forward(self, z: Tensor) -> Tensor:
        unit = pixel_norm(z)
        hidden = nn.functional.silu(self.first(unit))
        for layer in self.inner:
            hidden = hidden + nn.functional.silu(layer(hidden))
        logits: Tensor = (self.last(hidden) + self.skip(unit)) * self.scale + self.centre
        return logits
