"""A second critic, on frozen ImageNet features. It improves texture with few films.

It only supplements the discriminator, which preserves variety: with a discriminator on frozen features alone, the
generator collapsed to nearly one image.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from synthcxr.config.gan_sections import FeatureCriticConfig
from synthcxr.networks import efficientnet_lite0
from synthcxr.networks.efficientnet_lite1 import MIN_SIDE, EfficientNetLite1
from synthcxr.networks.feature_heads import FeatureHeads
from synthcxr.training import loss, moment_matching
from synthcxr.training.distributed import SINGLE_PROCESS, Ranks

_LOSS = "r1"


class FeatureCritic:
    """Trained heads on a frozen backbone, whose verified file is `weights`.

    It sees the first `share` of each batch, because the frozen features of an image cost about as much as the rest of
    its step. It sees no images below 64 px.
    """

    def __init__(self, config: FeatureCriticConfig, weights: Path, device: torch.device) -> None:
        self.config = config
        self.heads = FeatureHeads().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.moments = moment_matching.MomentMatchingLoss(moment_matching.N_FEATURES).to(device)
        self._backbone = EfficientNetLite1()
        efficientnet_lite0.load_imagenet_weights(self._backbone, weights)
        self._backbone.freeze()
        self._backbone.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def accepts_resolution(self, resolution: int) -> bool:
        """Return whether the critic sees images of this resolution."""
        return resolution >= MIN_SIDE

    def compute_maps(self, images: Tensor) -> list[Tensor]:
        """Return the frozen feature maps of the first `share` of images [N, 1, R, R]; gradients pass through."""
        maps: list[Tensor] = self._backbone(images[: max(1, round(self.config.share * len(images)))].float())
        return maps

    def loss_d(self, *, real: list[Tensor], synthetic: list[Tensor], index: int) -> Tensor:
        """Return the loss of the heads, with the penalty on real maps every `penalty_interval` steps."""
        detached = [m.detach() for m in synthetic]
        total = torch.stack(
            [
                loss.discriminator_loss(_LOSS, real=r, synthetic=s, drift=0.0)
                for r, s in zip(self.heads(real), self.heads(detached), strict=True)
            ]
        ).mean()
        if index % self.config.penalty_interval:
            return total
        penalties = [loss.r1_penalty(head, m) for head, m in zip(self.heads.heads, real, strict=True)]
        return total + self.config.penalty * self.config.penalty_interval * torch.stack(penalties).sum()

    def loss_g(self, *, real: list[Tensor], synthetic: list[Tensor], ranks: Ranks = SINGLE_PROCESS) -> Tensor:
        """Return the loss of the generator: the weighted sum of the loss of the heads and the moment distance."""
        head_losses = [loss.generator_loss(_LOSS, logits) for logits in self.heads(synthetic)]
        total = self.config.weight * torch.stack(head_losses).mean()
        if not self.config.moments:
            return total
        distance: Tensor = self.moments(
            real=moment_matching.compute_feature_statistics(real),
            synthetic=moment_matching.compute_feature_statistics(synthetic),
            ranks=ranks,
        )
        return total + self.config.moments * distance
