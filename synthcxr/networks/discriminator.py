"""The PGGAN discriminator: the generator's mirror image, one logit an image.

Source: Karras et al., arXiv 1710.10196, table 2, with one channel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from synthcxr.networks.layers import Blocks, Conv, Dense, Pointwise, downsample, leaky, minibatch_stddev, widened


class DiscriminatorBlock(nn.Module):
    """Two convolutions, then half the side."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv1 = Conv(n_in, n_in)
        self.conv2 = Conv(n_in, n_out)

    def forward(self, x: Tensor) -> Tensor:
        return downsample(leaky(self.conv2(leaky(self.conv1(x)))))


class LeanDiscriminatorBlock(nn.Module):
    """A convolution, half the side, a convolution; beside them a 1 x 1 skip of the halved input."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv1 = Conv(n_in, n_in)
        self.conv2 = Conv(n_in, n_out)
        self.skip = Conv(n_in, n_out, 1, gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        deep = leaky(self.conv2(downsample(leaky(self.conv1(x)))))
        skip: Tensor = self.skip(downsample(x))
        return (deep + skip) * math.sqrt(0.5)


_BLOCKS = {"paper": DiscriminatorBlock, "lean": LeanDiscriminatorBlock}


class Discriminator(nn.Module):
    """An image [N, 1, R, R] to logits [N], float32; `blocks` is the paper's or lean."""

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
        """Logits of images at their own resolution, faded in by `alpha`.

        `batch` is the length of each set stacked in `image` (all of it by default); see `minibatch_stddev`.
        """
        resolution = image.shape[-1]
        x = leaky(self.from_grey[str(resolution)](image))
        for side in reversed(self.resolutions[1:]):
            if side > resolution:
                continue
            x = self.blocks[str(side)](x)
            if side == resolution and alpha < 1.0:
                old = leaky(self.from_grey[str(side // 2)](downsample(image)))
                x = torch.lerp(old, x, alpha)
        x = leaky(self.conv(minibatch_stddev(x, batch or image.shape[0])))
        x = leaky(self.dense(x.flatten(1)))
        logit: Tensor = self.logit(x)
        return widened(logit).squeeze(1)
