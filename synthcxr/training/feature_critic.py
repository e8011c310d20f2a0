"""A second critic, on frozen ImageNet features: it teaches texture from few films, where the first one keeps variety.

It never stands alone: a discriminator on frozen features only let the generator collapse to nearly one film.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from synthcxr.config.schema import FeatureCritic as Config
from synthcxr.networks import efficientnet_lite0
from synthcxr.networks.efficientnet_lite1 import LEAST, Lite1
from synthcxr.networks.feature_heads import FeatureHeads
from synthcxr.training import loss, moment_matching
from synthcxr.training.distributed import ALONE, Ranks

_LOSS = "r1"


class FeatureCritic:
    """Heads that learn, on a backbone that does not; `weights` is its checked file.

    It looks at the first `share` of each batch, since frozen features of an image cost about as much as the rest of
    its step, and at no image below 64 px.
    """

    def __init__(self, config: Config, weights: Path, device: torch.device) -> None:
        self.config = config
        self.heads = FeatureHeads().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.moments = moment_matching.Moments(moment_matching.N_FEATURES).to(device)
        self._backbone = Lite1()
        efficientnet_lite0.start(self._backbone, weights)
        self._backbone.freeze()
        self._backbone.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def looks_at(self, resolution: int) -> bool:
        """Whether images of this side are judged."""
        return resolution >= LEAST

    def maps(self, images: Tensor) -> list[Tensor]:
        """Frozen features of the judged share of images [N, 1, R, R]; the gradient passes through."""
        judged: list[Tensor] = self._backbone(images[: max(1, round(self.config.share * len(images)))].float())
        return judged

    def loss_d(self, *, real: list[Tensor], synthetic: list[Tensor], index: int) -> Tensor:
        """What the heads minimise, the penalty on real maps included every `penalty_interval` steps."""
        apart = [m.detach() for m in synthetic]
        total = torch.stack(
            [
                loss.discriminator_loss(_LOSS, real=r, synthetic=s, drift=0.0)
                for r, s in zip(self.heads(real), self.heads(apart), strict=True)
            ]
        ).mean()
        if index % self.config.penalty_interval:
            return total
        penalties = [loss.r1_penalty(head, m) for head, m in zip(self.heads.heads, real, strict=True)]
        return total + self.config.penalty * self.config.penalty_interval * torch.stack(penalties).sum()

    def loss_g(self, *, real: list[Tensor], synthetic: list[Tensor], ranks: Ranks = ALONE) -> Tensor:
        """What the generator minimises: the heads' answer and the distance of the moments, each weighted."""
        logits = self.heads(synthetic)
        total = self.config.weight * torch.stack([loss.generator_loss(_LOSS, each) for each in logits]).mean()
        if not self.config.moments:
            return total
        distance: Tensor = self.moments(
            real=moment_matching.of_features(real), synthetic=moment_matching.of_features(synthetic), ranks=ranks
        )
        return total + self.config.moments * distance
