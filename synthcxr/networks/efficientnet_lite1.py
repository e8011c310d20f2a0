"""EfficientNet-Lite1's maps of an image at strides 8 and 16, with its ImageNet weights, which never change.

Tan and Le, arXiv 1905.11946. Norms are folded into the convolutions that they follow.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

from synthcxr.networks import efficientnet_lite0

MAPS = {6: (40, 8.7), 14: (112, 7.1)}
"""The blocks whose ends are looked at: channels, and the standard deviation of what they answer to chest films."""
LEAST = 64
"""The smallest side in pixels whose last map still has 4 x 4 positions."""


class Lite1(nn.Module):
    """[N, 1, R, R] in [-1, 1] to maps [N, 40, R / 8, R / 8] and [N, 112, R / 16, R / 16], of about unit variance."""

    def __init__(self) -> None:
        super().__init__()
        self.network = EfficientNet.from_name("efficientnet-lite1", drop_connect_rate=0.0)
        self.network._fc = nn.Identity()

    def freeze(self) -> None:
        """Fold the norms, drop what no map needs and let nothing learn, in place and for good."""
        efficientnet_lite0.fold(self.eval())
        self.network._blocks = self.network._blocks[: max(MAPS) + 1]
        self.network._conv_head = nn.Identity()
        self.requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        pixel = (image + 1) * 127.5
        inputs = ((pixel - 127) / 128).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        x = F.relu6(self.network._conv_stem(inputs))
        maps = []
        for number, block in enumerate(self.network._blocks):
            x = block(x)
            if number in MAPS:
                maps.append(x / MAPS[number][1])
        return maps
