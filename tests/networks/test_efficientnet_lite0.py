"""EfficientNet-Lite0 as a backbone: its file is verified and loaded completely, and gives the extractor's features."""

from pathlib import Path

import numpy as np
import pytest
import torch

from synthcxr.data import images
from synthcxr.errors import ArtifactError
from synthcxr.evaluation.features import extractors
from synthcxr.networks import efficientnet_lite0, efficientnet_weights


def test_the_imagenet_backbone_returns_the_features_of_the_extractor() -> None:
    """At 224 px nothing is resized, so both see the same input and return the same features."""
    backbone = efficientnet_lite0.EfficientNetLite0().eval()
    efficientnet_lite0.load_imagenet_weights(backbone, efficientnet_weights.LITE0.find())
    pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224), dtype=np.uint8)
    with torch.inference_mode():
        features = backbone(torch.from_numpy(images.to_float(pixels))).numpy()
    expected = extractors.open_extractor("efficientnet-lite0", "cpu").run(pixels)["features"]
    np.testing.assert_allclose(features, expected, atol=1e-4)


def test_training_does_not_use_the_global_stream() -> None:
    """A forward pass in training mode leaves the global torch stream unchanged."""
    backbone = efficientnet_lite0.EfficientNetLite0().train()
    before = torch.random.get_rng_state()
    backbone(torch.zeros(2, 1, 32, 32))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_file_of_another_network_is_refused(tmp_path: Path) -> None:
    """Other tensors and a file without weights each raise an error with the path."""
    path = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(2)}, path)
    with pytest.raises(ArtifactError, match=r"other.pth: its tensors do not fit EfficientNetLite0"):
        efficientnet_lite0.load_imagenet_weights(efficientnet_lite0.EfficientNetLite0(), path)
    path.write_bytes(b"no zip")
    with pytest.raises(ArtifactError, match=r"other.pth: not readable as a torch weight file"):
        efficientnet_lite0.load_imagenet_weights(efficientnet_lite0.EfficientNetLite0(), path)
