"""The ImageNet start: a stand-in for torchvision's file is found, checked, renamed and loaded."""

from pathlib import Path

import pytest
import torch

from synthcxr.errors import ArtifactError
from synthcxr.networks import densenet_weights
from synthcxr.networks.classifier import Classifier, initialise
from synthcxr.storage import digests

NETWORK = {"backbone": "densenet121", "resolution": 32, "image_resolution": 32}


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return initialise(NETWORK, 0)


def stand_in(path: Path, source: Classifier, *, old: bool) -> dict[str, torch.Tensor]:
    """Write what torchvision would: its names (old: norm.1), its 1000-class head; returns MONAI's names."""
    held = source.backbone.state_dict()
    tensors = {
        name: torch.randn(value.shape, generator=torch.Generator().manual_seed(len(name)))
        for name, value in held.items()
        if not name.endswith("num_batches_tracked")
    }
    named = {}
    for name, value in tensors.items():
        name = name.replace(".layers.", ".")
        if old and ".denselayer" in name:
            for part in ("norm", "conv"):
                for digit in ("1", "2"):
                    name = name.replace(f".{part}{digit}.", f".{part}.{digit}.")
        named[name] = value
    torch.save(named | {"classifier.weight": torch.zeros(1000, 1024), "classifier.bias": torch.zeros(1000)}, path)
    return tensors


@pytest.mark.parametrize("old", [True, False])
def test_torchvision_names_are_mapped_and_every_tensor_arrives(
    classifier: Classifier, tmp_path: Path, old: bool
) -> None:
    """Names of the old and the new kind load alike into every convolution and norm; the head is not touched."""
    path = tmp_path / "weights.pth"
    expected = stand_in(path, classifier, old=old)
    if old:
        assert "features.denseblock1.denselayer1.norm.1.weight" in torch.load(path, weights_only=True)
    head = classifier.head.weight.clone()
    densenet_weights.start(classifier, path, sha256_prefix=digests.sha256_file(path)[:8])
    held = classifier.backbone.state_dict()
    assert len(expected) == 604
    assert all(torch.equal(held[name], value) for name, value in expected.items())
    assert torch.equal(classifier.head.weight, head)


def test_another_file_is_refused_by_its_digest(classifier: Classifier, tmp_path: Path) -> None:
    """A file whose sha256 begins otherwise is not loaded, whatever it holds."""
    path = tmp_path / densenet_weights.FILE
    stand_in(path, classifier, old=True)
    with pytest.raises(ArtifactError, match="its sha256 begins .*, not a639ec97"):
        densenet_weights.start(classifier, path)


def test_a_file_that_is_not_densenet_121_is_refused(classifier: Classifier, tmp_path: Path) -> None:
    """Absent tensors, other shapes and files that torch cannot read are each one plain error."""
    path = tmp_path / "weights.pth"
    for content, said in (
        ({"features.conv0.weight": torch.zeros(64, 3, 7, 7)}, "603 tensors absent"),
        ({"features.conv0.weight": torch.zeros(64, 1, 7, 7)}, "other shapes"),
        ([1, 2], "604 tensors absent"),
    ):
        torch.save(content, path)
        with pytest.raises(ArtifactError, match=said):
            densenet_weights.start(classifier, path, sha256_prefix="")
    path.write_bytes(b"not a weight file")
    with pytest.raises(ArtifactError, match="not a torch weight file"):
        densenet_weights.start(classifier, path, sha256_prefix="")


def test_the_file_is_found_by_its_variable_or_the_message_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The named file wins; without one, torch's cache; without that, one line with the address and the way out."""
    path = tmp_path / "mine.pth"
    path.write_bytes(b"")
    monkeypatch.setenv(densenet_weights.VARIABLE, str(path))
    assert densenet_weights.find() == path
    path.unlink()
    with pytest.raises(ArtifactError, match="mine.pth, which is no file"):
        densenet_weights.find()
    monkeypatch.delenv(densenet_weights.VARIABLE)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ArtifactError, match="densenet121-a639ec97.pth and set SYNTHCXR_DENSENET121 .* weights: none"):
        densenet_weights.find()
    cached = tmp_path / "hub" / "checkpoints" / densenet_weights.FILE
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"")
    assert densenet_weights.find() == cached
