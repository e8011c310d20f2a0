"""Discriminator heads on frozen features: one small head for each feature map of EfficientNet-Lite1.

Sauer et al., Projected GANs, arXiv 2111.01007; Kumari et al., Ensembling off-the-shelf models, arXiv 2112.09130.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from synthcxr.networks.efficientnet_lite1 import FEATURE_MAPS
from synthcxr.networks.layers import Conv, Dense, leaky_relu, minibatch_stddev

_WIDTH = 64


class FeatureHead(nn.Module):
    """Maps a feature map [N, C, S, S], S a multiple of 4, to logits [N], float32."""

    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.conv1 = Conv(n_in, _WIDTH, 1)
        self.conv2 = Conv(_WIDTH, _WIDTH)
        self.conv3 = Conv(_WIDTH + 1, _WIDTH)
        self.logit = Dense(_WIDTH * 16, 1, gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        x = leaky_relu(self.conv2(leaky_relu(self.conv1(x))))
        x = F.avg_pool2d(x, x.shape[-1] // 4)
        x = leaky_relu(self.conv3(minibatch_stddev(x, x.shape[0])))
        logit: Tensor = self.logit(x.flatten(1))
        return logit.float().squeeze(1)


class FeatureHeads(nn.Module):
    """Maps the feature maps of an EfficientNetLite1 to one set of logits [N] each."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(FeatureHead(n_channels) for n_channels, _ in FEATURE_MAPS.values())

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [head(x) for head, x in zip(self.heads, maps, strict=True)]
