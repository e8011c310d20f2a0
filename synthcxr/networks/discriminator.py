"""The PGGAN discriminator: it mirrors the generator and returns one logit per image.

Sources: Karras et al., arXiv 1710.10196, table 2, with one channel; Miyato and Koyama, cGANs with projection
discriminator, arXiv 1802.05637, for conditions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from synthcxr.networks.layers import (
    Blocks,
    ConditionEmbedding,
    Conv,
    Dense,
    Pointwise,
    downsample,
    leaky_relu,
    minibatch_stddev,
    upcast_bf16,
)

PROJECTION_GAIN = 4.0
"""The projection learns this many times as fast as the last layer. With 1, images followed the condition later: after
4,800 drawn films of 8 px, the difference that a finding makes correlated with that of films at 0.33 instead of 0.54."""


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

    `channels` maps every resolution from 4 up to its number of feature maps. A conditional discriminator also takes
    conditions [N, `n_condition`].
    """

    def __init__(self, channels: Mapping[int, int], blocks: Blocks = "paper", n_condition: int = 0) -> None:
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
        self.embed_condition = ConditionEmbedding(n_condition, last) if n_condition else None

    def forward(
        self, image: Tensor, alpha: float = 1.0, *, batch: int | None = None, condition: Tensor | None = None
    ) -> Tensor:
        """Return logits of images at their own resolution, faded in by `alpha`.

        `batch` is the length of each set stacked in `image` (by default one set); see `minibatch_stddev`. Without a
        `condition`, a conditional discriminator computes what it would without its embedding.
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
        logit = upcast_bf16(self.logit(x)).squeeze(1)
        if condition is None or self.embed_condition is None:
            return logit
        projection = upcast_bf16(x) * upcast_bf16(self.embed_condition(condition))
        return logit + projection.sum(1) * (PROJECTION_GAIN / math.sqrt(x.shape[1]))
