"""The sections of `train_gan` that are mappings or lists themselves."""

from __future__ import annotations

import dataclasses
from typing import Literal

from synthcxr.config.bounds import Count, NimgOrZero, SamplingWeight, Share, Weight
from synthcxr.errors import ConfigError

ConditionPart = Literal["findings", "view", "sex", "age"]
"""What the condition of a conditional GAN can contain."""


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """Differentiable augmentation of real films and synthetic images alike; 0 turns a transformation off.

    `translate` and `cutout` are shares of the side of an image; `cutout_p` is the probability of a cutout.
    """

    translate: Share
    brightness: Share
    contrast: Share
    cutout: Share
    cutout_p: Share


@dataclasses.dataclass(frozen=True)
class FeatureCriticConfig:
    """A second critic on frozen ImageNet features, in addition to the discriminator.

    It sees `share` of each batch, and its loss enters the generator's loss with `weight`. Its heads have a gradient
    penalty of weight `penalty` on real feature maps every `penalty_interval` steps. `moments` weights the distance
    between the means and covariances of real and synthetic features in the generator's loss; 0 leaves it out.
    """

    share: Share
    weight: Weight
    penalty: Weight
    penalty_interval: Count
    moments: Weight


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """How often films are shown to the GAN.

    `unlabelled_share` of the films shown have no labels; null shows them as often as any other film. Labelled films
    share the rest in proportion to their weights, and so do unlabelled ones. The weight of a film is that of its source
    in `sources`, times the largest weight in `findings` among the findings that it shows (or of "No Finding"). A source
    or finding that is not listed has the weight 1; empty mappings show all labelled films equally often.
    """

    unlabelled_share: Share | None
    sources: dict[str, SamplingWeight]
    findings: dict[str, SamplingWeight]


@dataclasses.dataclass(frozen=True)
class ConditionFadeConfig:
    """The condition has no effect up to `start_nimg`, then fades in linearly, with its full effect at `end_nimg`."""

    start_nimg: NimgOrZero
    end_nimg: NimgOrZero


def check_condition(
    condition: tuple[ConditionPart, ...], fade: ConditionFadeConfig | None, *, shown_nimg: int, batch: int, where: str
) -> None:
    """Raise ConfigError, beginning with `where`, for a condition that cannot be trained in `shown_nimg` images."""
    repeated = [part for part in condition if condition.count(part) > 1]
    if repeated:
        raise ConfigError(f"{where}.condition: lists {repeated[0]} twice")
    if fade is None:
        return
    if not condition:
        raise ConfigError(f"{where}.condition_fade: must be null, because train_gan.condition is empty")
    if fade.start_nimg > fade.end_nimg:
        raise ConfigError(f"{where}.condition_fade.start_nimg: is above end_nimg, {fade.end_nimg:,}")
    if fade.end_nimg + batch > shown_nimg:
        raise ConfigError(
            f"{where}.condition_fade.end_nimg: must be below the number of images shown, {shown_nimg:,}, by at"
            f" least a batch ({batch}), so that the generator is trained with the full condition"
        )
