"""Feature maps of EfficientNet-Lite1 at strides 8 and 16, with frozen ImageNet weights.

Tan and Le, arXiv 1905.11946. Batch norms are folded into the convolutions before them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

from synthcxr.networks import efficientnet_lite0

FEATURE_MAPS = {6: (40, 8.7), 14: (112, 7.1)}
"""Block number -> (channels, standard deviation of its output on chest films) of the maps that are returned."""
MIN_SIDE = 64
"""The smallest side in px for which the last map has 4 x 4 positions."""


class EfficientNetLite1(nn.Module):
    """Maps [N, 1, R, R] in [-1, 1] to [N, 40, R / 8, R / 8] and [N, 112, R / 16, R / 16] of about unit variance."""

    def __init__(self) -> None:
        super().__init__()
        self.network = EfficientNet.from_name("efficientnet-lite1", drop_connect_rate=0.0)
        self.network._fc = nn.Identity()

    def freeze(self) -> None:
        """Fold the norms, drop unused layers and disable gradients of the weights, permanently and in place."""
        efficientnet_lite0.fold_norms(self.eval())
        self.network._blocks = self.network._blocks[: max(FEATURE_MAPS) + 1]
        self.network._conv_head = nn.Identity()
        self.requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        pixel = (image + 1) * 127.5
        inputs = ((pixel - 127) / 128).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        x = F.relu6(self.network._conv_stem(inputs))
        maps = []
        for number, block in enumerate(self.network._blocks):
            x = block(x)
            if number in FEATURE_MAPS:
                maps.append(x / FEATURE_MAPS[number][1])
        return maps
