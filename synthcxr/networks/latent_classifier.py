"""A cheap guess at the logits of the image that a latent will give, without making the image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from synthcxr.data.findings import FINDINGS
from synthcxr.networks.layers import pixel_norm


class Proposal(nn.Module):
    """z [N, latent] to logits [N, 14]: a residual perceptron on the normalised latent, which is all the generator sees.

    `scale` and `centre` bring its outputs to the spread of the logits it was distilled from.
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


def build(network: Mapping[str, Any]) -> Proposal:
    """The proposal that a file's metadata describes, with fresh weights."""
    return Proposal(network["latent"], network["width"], network["depth"])
