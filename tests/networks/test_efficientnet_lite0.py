"""EfficientNet-Lite0 as a backbone: its ImageNet start arrives whole, and its features are the extractor's."""

from pathlib import Path

import numpy as np
import pytest
import torch

from synthcxr.data import images
from synthcxr.errors import ArtifactError
from synthcxr.evaluation.features import efficientnet_lite0 as features
from synthcxr.networks import efficientnet_lite0, efficientnet_weights


def test_started_backbone_gives_the_features_of_the_extractor() -> None:
    """At 224 px, where nothing is resized, both see the same input and answer alike."""
    backbone = efficientnet_lite0.Lite0().eval()
    efficientnet_lite0.start(backbone, efficientnet_weights.LITE0.find())
    pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224), dtype=np.uint8)
    with torch.inference_mode():
        found = backbone(torch.from_numpy(images.to_float(pixels))).numpy()
    expected = features.efficientnet_lite0("cpu").run(pixels)["features"]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_training_draws_nothing_from_the_global_stream() -> None:
    """A forward pass in training mode leaves torch's stream where it was."""
    backbone = efficientnet_lite0.Lite0().train()
    before = torch.random.get_rng_state()
    backbone(torch.zeros(2, 1, 32, 32))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_file_of_another_network_is_refused_by_name(tmp_path: Path) -> None:
    """Other tensors, or no weight file at all: one line with the path."""
    path = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(2)}, path)
    with pytest.raises(ArtifactError, match=r"other.pth: its tensors are not those of Lite0"):
        efficientnet_lite0.start(efficientnet_lite0.Lite0(), path)
    path.write_bytes(b"no zip")
    with pytest.raises(ArtifactError, match=r"other.pth: not a torch weight file"):
        efficientnet_lite0.start(efficientnet_lite0.Lite0(), path)
