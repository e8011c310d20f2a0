"""The 14-finding classifier: a backbone and its preprocessing (resize, repeat, normalise) in one graph.

A JSON mapping describes a network; `build_classifier` builds the module from it. DenseNet-121: Huang et al., arXiv
1608.06993, in MONAI's implementation. The small backbone is a residual network that halves by averaging (He et al.,
arXiv 1812.01187) and initialises each block as the identity.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from synthcxr.config.bounds import Side, Width
from synthcxr.config.schema import ClassifierConfig
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ArtifactError
from synthcxr.networks import efficientnet_lite0

_IMAGENET = ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))
_STAGES = (1, 2, 4, 8)


class ClassifierNetwork(TypedDict):
    """The mapping from which `build_classifier` builds a network; the backbone "small" has a width.

    `initial_weights` and `n_films` say from what and on how many films it was trained.
    """

    backbone: Literal["small", "densenet121", "efficientnet-lite0"]
    resolution: Side
    image_resolution: Side
    width: NotRequired[Width]
    folded: NotRequired[bool]
    initial_weights: NotRequired[str]
    n_films: NotRequired[int]


class Classifier(nn.Module):
    """Maps `image` float32 [N, 1, R, R] in [-1, 1] to (`logits` [N, 14], `features` [N, F])."""

    def __init__(self, backbone: nn.Module, *, image_resolution: int, resolution: int, n_features: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(n_features, len(FINDINGS))
        self.n_features = n_features
        self.image_resolution = image_resolution
        self.resolution = resolution

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features: Tensor = self.backbone(resize(image, self.image_resolution, self.resolution))
        logits: Tensor = self.head(features)
        return logits, features


def resize(image: Tensor, side: int, target_side: int) -> Tensor:
    """Resize square images [N, C, side, side]: average by the largest power of two, then interpolate bilinearly.

    Between powers of two, this is the box filter that packs the films.
    """
    if side >= 2 * target_side:
        step = 1 << ((side // target_side).bit_length() - 1)
        image, side = F.avg_pool2d(image, step), side // step
    if side == target_side:
        return image
    return F.interpolate(image, size=(target_side, target_side), mode="bilinear", align_corners=False)


def build_network_config(config: ClassifierConfig, image_resolution: int) -> dict[str, Any]:
    """Return the mapping from which `build_classifier` builds the network for images of `image_resolution` px."""
    width = {"width": config.width} if config.backbone == "small" else {}
    return {
        "backbone": config.backbone,
        "resolution": config.resolution,
        "image_resolution": image_resolution,
    } | width


def build_classifier(network: Mapping[str, Any]) -> Classifier:
    """Build the untrained module that a mapping from `build_network_config` describes; torch's seed sets its weights.

    "folded": true applies `fold_norms`. Raises ArtifactError for a mapping that describes no classifier.
    """
    try:
        backbone, side = network["backbone"], int(network["resolution"])
        sides = {"image_resolution": int(network["image_resolution"]), "resolution": side}
        width = int(network["width"]) if backbone == "small" else 0
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"not the description of a classifier: {dict(network)!r}") from error
    if backbone == "small":
        classifier = Classifier(_Small(width, side), n_features=_STAGES[-1] * width, **sides)
    elif backbone == "densenet121":
        classifier = Classifier(_DenseNet121(), n_features=1024, **sides)
    elif backbone == "efficientnet-lite0":
        lite0 = efficientnet_lite0.EfficientNetLite0()
        classifier = Classifier(lite0, n_features=efficientnet_lite0.N_FEATURES, **sides)
    else:
        raise ArtifactError(f"unknown backbone {backbone!r}; choose small, densenet121 or efficientnet-lite0")
    if network.get("folded"):
        fold_norms(classifier)
    return classifier


def initialise_classifier(network: Mapping[str, Any], seed: int) -> Classifier:
    """Build a classifier whose initial weights depend on `seed` only; the global torch stream is unchanged."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_classifier(network)


def fold_norms(classifier: Classifier) -> None:
    """Fold each batch norm into the convolution before it, permanently and in place, for export.

    The exporter would fold them too, but into tensors that fit no network of `build_classifier`.
    """
    classifier.eval()
    for chain in [module for module in classifier.modules() if isinstance(module, nn.Sequential)]:
        names = list(chain._modules)
        for first, second in itertools.pairwise(names):
            conv, norm = chain.get_submodule(first), chain.get_submodule(second)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(chain, first, fuse_conv_bn_eval(conv, norm))
                setattr(chain, second, nn.Identity())
    efficientnet_lite0.fold_norms(classifier)


class _Small(nn.Module):
    """Maps [N, 1, R, R] to features [N, 8 width]: a stem, then four stages of two blocks; stages 2 to 4 halve."""

    def __init__(self, width: int, resolution: int) -> None:
        super().__init__()
        stride = 2 if resolution >= 64 else 1
        self.stem = nn.Sequential(nn.Conv2d(1, width, 5, stride, 2, bias=False), nn.BatchNorm2d(width), nn.SiLU())
        n_in, blocks = width, []
        for stage, factor in enumerate(_STAGES):
            n_out = factor * width
            blocks += [_Block(n_in, n_out, halve=stage > 0), _Block(n_out, n_out, halve=False)]
            n_in = n_out
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.blocks(self.stem(x))
        return maps.mean(dim=(2, 3))


class _Block(nn.Module):
    """Two 3x3 convolutions plus a shortcut, initialised as the shortcut alone; `halve` averages 2x2 before both."""

    def __init__(self, n_in: int, n_out: int, *, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        last = nn.BatchNorm2d(n_out)
        nn.init.zeros_(last.weight)
        convs = [nn.Conv2d(n, n_out, 3, padding=1, bias=False) for n in (n_in, n_out)]
        self.inner = nn.Sequential(convs[0], nn.BatchNorm2d(n_out), nn.SiLU(), convs[1], last)
        self.shortcut = nn.Identity() if n_in == n_out else nn.Conv2d(n_in, n_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.halve:
            x = F.avg_pool2d(x, 2)
        return F.silu(self.shortcut(x) + self.inner(x))


class _DenseNet121(nn.Module):
    """Maps [N, 1, R, R] in [-1, 1] to features [N, 1024]; grey becomes three ImageNet-normalised channels."""

    def __init__(self) -> None:
        super().__init__()
        from monai.networks.nets.densenet import DenseNet121  # here, because the import takes seconds

        self.features: nn.Module = DenseNet121(spatial_dims=2, in_channels=3, out_channels=1).features

    def forward(self, x: Tensor) -> Tensor:
        unit = (x + 1) / 2
        maps: Tensor = self.features(torch.cat([(unit - mean) / std for mean, std in _IMAGENET], dim=1))
        return F.relu(maps).mean(dim=(2, 3))
