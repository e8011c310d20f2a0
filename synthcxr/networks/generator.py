"""The PGGAN generator: it maps a latent, and optionally a condition, to one grey image of any resolution up to its own.

Source: Karras et al., arXiv 1710.10196, table 2, with one channel (films are grey).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict

import torch
from torch import Tensor, nn

from synthcxr.config.bounds import Width
from synthcxr.networks.layers import (
    GAIN_LEAKY,
    Blocks,
    ConditionEmbedding,
    Conv,
    Dense,
    Pointwise,
    leaky_pixel_norm,
    pixel_norm,
    upcast_bf16,
    upsample,
)


class GeneratorBlock(nn.Module):
    """Doubling, then two convolutions; a lean block doubles between the two convolutions."""

    def __init__(self, n_in: int, n_out: int, blocks: Blocks) -> None:
        super().__init__()
        self.conv1 = Conv(n_in, n_out)
        self.conv2 = Conv(n_out, n_out)
        self.lean = blocks == "lean"

    def forward(self, x: Tensor) -> Tensor:
        if not self.lean:
            x = upsample(x)
        x = leaky_pixel_norm(self.conv1(x))
        if self.lean:
            x = upsample(x)
        return leaky_pixel_norm(self.conv2(x))


class Generator(nn.Module):
    """Maps z [N, latent] to images [N, 1, R, R], nominally in [-1, 1] and not clipped.

    `channels` maps every resolution from 4 up to its number of feature maps. A conditional generator also takes
    conditions [N, `n_condition`].
    """

    def __init__(
        self, latent: int, channels: Mapping[int, int], blocks: Blocks = "paper", n_condition: int = 0
    ) -> None:
        super().__init__()
        self.latent = latent
        self.n_condition = n_condition
        self.blocks_kind = blocks
        self.resolutions = tuple(sorted(channels))
        first = channels[4]
        self.dense = Dense(latent, first * 16, gain=GAIN_LEAKY / 4, bias=False)
        self.dense_bias = nn.Parameter(torch.zeros(1, first, 1, 1))
        self.embed_condition = ConditionEmbedding(n_condition, first * 16) if n_condition else None
        self.conv = Conv(first, first)
        self.blocks = nn.ModuleDict(
            {str(side): GeneratorBlock(channels[side // 2], channels[side], blocks) for side in self.resolutions[1:]}
        )
        self.to_grey = nn.ModuleDict({str(side): Pointwise(channels[side], 1, gain=1.0) for side in self.resolutions})

    def forward(
        self, z: Tensor, resolution: int | None = None, alpha: float = 1.0, condition: Tensor | None = None
    ) -> Tensor:
        """Return images at `resolution` (by default the largest), faded in by `alpha` from the resolution below.

        Without a `condition`, a conditional generator computes what it would without its embedding.
        """
        resolution = resolution or self.resolutions[-1]
        x = self.dense(pixel_norm(z))
        if condition is not None and self.embed_condition is not None:
            x = x + self.embed_condition(condition)
        x = x.reshape(z.shape[0], -1, 4, 4) + self.dense_bias
        x = leaky_pixel_norm(self.conv(leaky_pixel_norm(x)))
        below = x
        for side in self.resolutions[1:]:
            if side > resolution:
                break
            below, x = x, self.blocks[str(side)](x)
        if alpha >= 1.0 or resolution == 4:
            return self._grey(x, resolution)
        old = upsample(self._grey(below, resolution // 2))
        return torch.lerp(old, self._grey(x, resolution), alpha)

    def _grey(self, x: Tensor, resolution: int) -> Tensor:
        image: Tensor = self.to_grey[str(resolution)](x)
        return upcast_bf16(image)

    def build_network_config(self, channels: Mapping[int, int]) -> dict[str, Any]:
        """Return the JSON mapping from which `build_generator` rebuilds this network."""
        network = {
            "latent": self.latent,
            "channels": {str(side): channels[side] for side in self.resolutions},
            "blocks": self.blocks_kind,
        }
        return network | ({"n_condition": self.n_condition} if self.n_condition else {})


class GeneratorNetwork(TypedDict):
    """The mapping from which `build_generator` builds a network; channels are by resolution."""

    latent: Width
    channels: dict[str, Width]
    blocks: Literal["paper", "lean"]
    n_condition: NotRequired[Width]


def build_generator(network: GeneratorNetwork) -> Generator:
    """Build the generator that `network` describes, with random weights."""
    channels = {int(side): n for side, n in network["channels"].items()}
    return Generator(network["latent"], channels, network["blocks"], network.get("n_condition", 0))


def paper_channels(resolution: int) -> dict[int, int]:
    """The channels per resolution of Karras et al.: min(8192 / 2**stage, 512)."""
    stages = range(1, int(math.log2(resolution)))
    return {2 ** (stage + 1): min(8192 // 2**stage, 512) for stage in stages}
