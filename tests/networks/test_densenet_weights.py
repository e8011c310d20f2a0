"""ImageNet weights of DenseNet-121: a file like torchvision's is found, verified, renamed and loaded."""

from pathlib import Path

import pytest
import torch

from synthcxr.errors import ArtifactError
from synthcxr.networks import densenet_weights
from synthcxr.networks.classifier import Classifier, initialise_classifier
from synthcxr.storage import digests

NETWORK = {"backbone": "densenet121", "resolution": 32, "image_resolution": 32}


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return initialise_classifier(NETWORK, 0)


def write_torchvision_file(path: Path, classifier: Classifier, *, old: bool) -> dict[str, torch.Tensor]:
    """Write random tensors under torchvision's names (old: norm.1) and a 1000-class head; return MONAI's names."""
    tensors = {
        name: torch.randn(value.shape, generator=torch.Generator().manual_seed(len(name)))
        for name, value in classifier.backbone.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    renamed = {}
    for name, value in tensors.items():
        name = name.replace(".layers.", ".")
        if old and ".denselayer" in name:
            for part in ("norm", "conv"):
                for digit in ("1", "2"):
                    name = name.replace(f".{part}{digit}.", f".{part}.{digit}.")
        renamed[name] = value
    torch.save(renamed | {"classifier.weight": torch.zeros(1000, 1024), "classifier.bias": torch.zeros(1000)}, path)
    return tensors


@pytest.mark.parametrize("old", [True, False])
def test_torchvision_names_are_mapped_and_every_tensor_is_loaded(
    classifier: Classifier, tmp_path: Path, old: bool
) -> None:
    """Old and new names load into every convolution and norm; the head of the classifier is unchanged."""
    path = tmp_path / "weights.pth"
    expected = write_torchvision_file(path, classifier, old=old)
    if old:
        assert "features.denseblock1.denselayer1.norm.1.weight" in torch.load(path, weights_only=True)
    head = classifier.head.weight.clone()
    densenet_weights.load_imagenet_weights(classifier, path, sha256_prefix=digests.sha256_file(path)[:8])
    loaded = classifier.backbone.state_dict()
    assert len(expected) == 604
    assert all(torch.equal(loaded[name], value) for name, value in expected.items())
    assert torch.equal(classifier.head.weight, head)


def test_another_file_is_refused_by_its_digest(classifier: Classifier, tmp_path: Path) -> None:
    """A file whose sha256 starts with other digits is not loaded."""
    path = tmp_path / densenet_weights.FILE
    write_torchvision_file(path, classifier, old=True)
    with pytest.raises(ArtifactError, match="its sha256 starts with .*, not a639ec97"):
        densenet_weights.load_imagenet_weights(classifier, path)


def test_a_file_that_is_not_densenet_121_is_refused(classifier: Classifier, tmp_path: Path) -> None:
    """Missing tensors, other shapes and unreadable files each raise ArtifactError."""
    path = tmp_path / "weights.pth"
    for content, message in (
        ({"features.conv0.weight": torch.zeros(64, 3, 7, 7)}, "603 tensors missing"),
        ({"features.conv0.weight": torch.zeros(64, 1, 7, 7)}, "tensor shapes do not fit"),
        ([1, 2], "with tensors by name"),
    ):
        torch.save(content, path)
        with pytest.raises(ArtifactError, match=message):
            densenet_weights.load_imagenet_weights(classifier, path, sha256_prefix="")
    path.write_bytes(b"not a weight file")
    with pytest.raises(ArtifactError, match="not readable as a torch weight file"):
        densenet_weights.load_imagenet_weights(classifier, path, sha256_prefix="")


def test_the_file_is_found_by_its_variable_or_in_the_cache_of_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable takes precedence over torch's cache; without a file, the error says where to download it."""
    path = tmp_path / "mine.pth"
    path.write_bytes(b"")
    monkeypatch.setenv(densenet_weights.VARIABLE, str(path))
    assert densenet_weights.find_weights() == path
    path.unlink()
    with pytest.raises(ArtifactError, match="mine.pth, which is not a file"):
        densenet_weights.find_weights()
    monkeypatch.delenv(densenet_weights.VARIABLE)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ArtifactError, match="densenet121-a639ec97.pth and set SYNTHCXR_DENSENET121 .* weights: none"):
        densenet_weights.find_weights()
    cached = tmp_path / "hub" / "checkpoints" / densenet_weights.FILE
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"")
    assert densenet_weights.find_weights() == cached
