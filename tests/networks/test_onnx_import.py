"""Networks made again from their files: they answer as onnxruntime does with the file itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support.exported_models import LATENT, SMALL, write_classifier, write_generator

from synthcxr.data import random_streams
from synthcxr.errors import ArtifactError
from synthcxr.model_files import onnx_metadata as contracts
from synthcxr.networks import onnx_import
from synthcxr.synthesis.runtime.onnx_session import Session

LITE0 = {"backbone": "efficientnet-lite0", "resolution": 32, "image_resolution": 64}
DENSE = {"backbone": "densenet121", "resolution": 32, "image_resolution": 16}


@pytest.mark.parametrize("blocks", ["lean", "paper"])
@pytest.mark.parametrize("fp16", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_generator_is_made_again(tmp_path: Path, blocks: str, *, fp16: bool) -> None:
    """Both kinds of blocks, both ways of storing: the images agree to 1e-4 and no weight asks for a gradient."""
    path = write_generator(tmp_path / "generator.onnx", blocks=blocks, fp16=fp16)
    network, z = onnx_import.generator(path), random_streams.latents(3, 0, 5, LATENT)
    with torch.no_grad():
        made = network(torch.from_numpy(z)).numpy()
    np.testing.assert_allclose(made, Session.open(path, device="cpu").run(z)["image"], atol=1e-4)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def check_classifier(network: dict[str, object], path: Path, *, fp16: bool) -> None:
    write_classifier(path, network, fp16=fp16)
    side = int(str(network["image_resolution"]))
    x = torch.rand(3, 1, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        found = onnx_import.classifier(path)(x)
    expected = Session.open(path, device="cpu").run(x.numpy())
    for ours, theirs in zip(found, (expected["logits"], expected["features"]), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-4 * max(1, np.abs(theirs).max()))


@pytest.mark.parametrize("network", [SMALL, LITE0], ids=["small", "lite0"])
@pytest.mark.parametrize("fp16", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_classifier_is_made_again(network: dict[str, object], tmp_path: Path, *, fp16: bool) -> None:
    """With folded norms and weights in half precision, logits and features agree to 1e-4 of their scale."""
    check_classifier(network, tmp_path / "classifier.onnx", fp16=fp16)


@pytest.mark.slow
def test_a_densenet_is_made_again(tmp_path: Path) -> None:
    """DenseNet-121 too, whose norms stand before its convolutions and so are in the file."""
    check_classifier(DENSE, tmp_path / "classifier.onnx", fp16=True)


def test_what_cannot_be_made_again_says_why(tmp_path: Path) -> None:
    """A file without its network's config, of the wrong kind, or that lacks a weight, is one line that names it."""
    path = write_generator(tmp_path / "generator.onnx")
    with pytest.raises(ArtifactError, match="is a generator, wanted a classifier"):
        onnx_import.classifier(path)
    model, held = onnx.load(path), contracts.read(path)
    weights = [tensor for tensor in model.graph.initializer if tensor.name == "blocks.8.conv1.weight"]
    weights[0].name = "other"
    for node in model.graph.node:
        node.input[:] = ["other" if name == "blocks.8.conv1.weight" else name for name in node.input]
    contracts.stamp(model, held)
    onnx.save(model, path)
    with pytest.raises(ArtifactError, match=r"holds no weight 'blocks\.8\.conv1\.weight'"):
        onnx_import.generator(path)
    contracts.amend(path, contracts.Contract(**(vars(held) | {"network": {}})))
    with pytest.raises(ArtifactError, match="does not name its network"):
        onnx_import.generator(path)
