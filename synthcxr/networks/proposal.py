"""Two guesses at the logits of the image that a latent will give, without making the image.

A glance is a perceptron on the latent and costs next to nothing. A look takes the generator's own first layers, up to a
small side, and a few convolutions on their maps: what an image shows is decided there, but for its detail.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from synthcxr.labels import FINDINGS
from synthcxr.networks.generator import Generator
from synthcxr.networks.layers import pixel_norm

_HIDDEN = 256


class Glance(nn.Module):
    """z [N, latent] to [N, 14]: a residual perceptron on the normalised latent, which is all the generator sees."""

    def __init__(self, latent: int, width: int, depth: int) -> None:
        super().__init__()
        self.first = nn.Linear(latent, width)
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.last = nn.Linear(width, len(FINDINGS))
        self.skip = nn.Linear(latent, len(FINDINGS), bias=False)

    def forward(self, z: Tensor) -> Tensor:
        unit = pixel_norm(z)
        hidden = silu(self.first(unit))
        for layer in self.inner:
            hidden = hidden + silu(layer(hidden))
        guess: Tensor = self.last(hidden) + self.skip(unit)
        return guess


class Look(nn.Module):
    """z [N, latent] to [N, 14], from the maps of `trunk` at its largest side, through convolutions of `width` maps."""

    def __init__(self, trunk: Generator, n_maps: int, width: int) -> None:
        super().__init__()
        self.trunk, self.side = trunk, trunk.resolutions[-1]
        layers: list[nn.Module] = [nn.Conv2d(n_maps, width, 3, padding=1), _Residual(width)]
        for _ in trunk.resolutions[1:]:
            layers += [nn.Conv2d(width, width, 3, stride=2, padding=1), _Residual(width)]
        self.head = nn.Sequential(*layers)
        self.hidden = nn.Linear(width * 16, _HIDDEN)
        self.last = nn.Linear(_HIDDEN, len(FINDINGS))

    def forward(self, z: Tensor) -> Tensor:
        _, maps = self.trunk.maps(z, self.side)
        guess: Tensor = self.last(silu(self.hidden(silu(self.head(maps)).flatten(1))))
        return guess


class Proposal(nn.Module):
    """z [N, latent] to what a glance and what a look make of the logits, each [N, 14].

    `scale` and `centre` bring both to the spread of the logits that they were distilled from.
    """

    scale: Tensor
    centre: Tensor

    def __init__(self, glance: Glance, look: Look) -> None:
        super().__init__()
        self.glance, self.look = glance, look
        self.register_buffer("scale", torch.ones(len(FINDINGS)))
        self.register_buffer("centre", torch.zeros(len(FINDINGS)))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.glance(z) * self.scale + self.centre, self.look(z) * self.scale + self.centre


def trunk(generator: Generator, side: int) -> Generator:
    """The layers of a generator that make its maps of `side` px, with its weights, frozen; it makes no image."""
    sizes = [each for each in generator.resolutions if each <= side]
    generator.blocks = nn.ModuleDict({str(each): generator.blocks[str(each)] for each in sizes[1:]})
    generator.resolutions, generator.to_grey = tuple(sizes), nn.ModuleDict()
    return generator.requires_grad_(False)


class _Residual(nn.Module):
    """[N, C, R, R] to the same, at first what it was."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.conv2(silu(self.conv1(silu(x))))
        return x + change
