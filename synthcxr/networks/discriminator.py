"""The PGGAN discriminator: it mirrors the generator and returns one logit per image.

Source: Karras et al., arXiv 1710.10196, table 2, with one channel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from synthcxr.networks.layers import (
    Blocks,
    Conv,
    Dense,
    Pointwise,
    downsample,
    leaky_relu,
    minibatch_stddev,
    upcast_bf16,
)


class DiscriminatorBlock(nn.Module):
    """Two convolutions, then halving."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv1 = Conv(n_in, n_in)
        self.conv2 = Conv(n_in, n_out)

    def forward(self, x: Tensor) -> Tensor:
        return downsample(leaky_relu(self.conv2(leaky_relu(self.conv1(x)))))


class LeanDiscriminatorBlock(nn.Module):
    """A convolution, halving, a convolution; plus a 1 x 1 skip connection from the halved input."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv1 = Conv(n_in, n_in)
        self.conv2 = Conv(n_in, n_out)
        self.skip = Conv(n_in, n_out, 1, gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        deep = leaky_relu(self.conv2(downsample(leaky_relu(self.conv1(x)))))
        skip: Tensor = self.skip(downsample(x))
        return (deep + skip) * math.sqrt(0.5)


_BLOCKS = {"paper": DiscriminatorBlock, "lean": LeanDiscriminatorBlock}


class Discriminator(nn.Module):
    """Maps images [N, 1, R, R] to logits [N], float32.

    `channels` maps every resolution from 4 up to its number of feature maps.
    """

    def __init__(self, channels: Mapping[int, int], blocks: Blocks = "paper") -> None:
        super().__init__()
        self.resolutions = tuple(sorted(channels))
        last = channels[4]
        self.from_grey = nn.ModuleDict({str(side): Pointwise(1, channels[side]) for side in self.resolutions})
        self.blocks = nn.ModuleDict(
            {str(side): _BLOCKS[blocks](channels[side], channels[side // 2]) for side in self.resolutions[1:]}
        )
        self.conv = Conv(last + 1, last)
        self.dense = Dense(last * 16, last)
        self.logit = Dense(last, 1, gain=1.0)

    def forward(self, image: Tensor, alpha: float = 1.0, *, batch: int | None = None) -> Tensor:
        """Return logits of images at their own resolution, faded in by `alpha`.

        `batch` is the length of each set stacked in `image` (by default one set); see `minibatch_stddev`.
        """
        resolution = image.shape[-1]
        x = leaky_relu(self.from_grey[str(resolution)](image))
        for side in reversed(self.resolutions[1:]):
            if side > resolution:
                continue
            x = self.blocks[str(side)](x)
            if side == resolution and alpha < 1.0:
                old = leaky_relu(self.from_grey[str(side // 2)](downsample(image)))
                x = torch.lerp(old, x, alpha)
        x = leaky_relu(self.conv(minibatch_stddev(x, batch or image.shape[0])))
        x = leaky_relu(self.dense(x.flatten(1)))
        logit: Tensor = self.logit(x)
        return upcast_bf16(logit).squeeze(1)
