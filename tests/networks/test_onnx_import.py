"""Networks rebuilt from their ONNX files return the output of onnxruntime on the same file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support.exported_models import LATENT, SMALL, build_condition_table, write_classifier, write_generator

from synthcxr.data import random_streams
from synthcxr.data.condition import PARTS, list_columns
from synthcxr.data.condition_table import draw_conditions
from synthcxr.errors import ArtifactError
from synthcxr.model_files import onnx_metadata
from synthcxr.networks import onnx_import
from synthcxr.synthesis.runtime.onnx_session import Precision, Session

LITE0 = {"backbone": "efficientnet-lite0", "resolution": 32, "image_resolution": 64}
DENSE = {"backbone": "densenet121", "resolution": 32, "image_resolution": 16}


@pytest.mark.parametrize("blocks", ["lean", "paper"])
@pytest.mark.parametrize("fp16", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_generator_is_rebuilt(tmp_path: Path, blocks: str, *, fp16: bool) -> None:
    """With both kinds of blocks, in fp32 and fp16, images agree to 1e-4, and no weight requires a gradient."""
    path = write_generator(tmp_path / "generator.onnx", blocks=blocks, fp16=fp16)
    network, z = onnx_import.load_generator(path), random_streams.draw_latents(3, 0, 5, LATENT)
    with torch.no_grad():
        image = network(torch.from_numpy(z)).numpy()
    np.testing.assert_allclose(image, Session.open(path, device="cpu").run(z)["image"], atol=1e-4)
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("blocks", ["lean", "paper"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_conditional_generator_is_rebuilt(tmp_path: Path, blocks: str, precision: Precision) -> None:
    """Images of drawn conditions agree to 1e-4, to 2e-2 in half precision, at any N; they depend on the condition."""
    path = write_generator(tmp_path / "generator.onnx", blocks=blocks, condition=PARTS)
    network, session = onnx_import.load_generator(path), Session.open(path, device="cpu", precision=precision)
    table = build_condition_table()
    for n in (1, 3, 32):
        z, condition = random_streams.draw_latents(3, 0, n, LATENT), draw_conditions(table, 3, range(n))
        with torch.no_grad():
            image = network(torch.from_numpy(z), condition=torch.from_numpy(condition)).numpy()
            without = network(torch.from_numpy(z)).numpy()
        assert np.abs(image - without).max() > 0.05
        tolerance = {"fp32": 1e-4, "fp16": 2e-2}[precision]
        np.testing.assert_allclose(image, session.run(z, condition)["image"], atol=tolerance)


def test_conditions_that_do_not_fit_the_metadata_are_refused(tmp_path: Path) -> None:
    """A run without conditions, metadata of an unconditional model, and metadata with other columns."""
    path = write_generator(tmp_path / "generator.onnx", condition=("view",))
    metadata = onnx_metadata.read(path)
    assert metadata.condition == ("view AP", "view PA", "view unknown")
    z = random_streams.draw_latents(3, 0, 2, LATENT)
    with pytest.raises(ArtifactError, match="the generator takes z, condition as inputs"):
        Session.open(path, device="cpu").run(z)
    onnx_metadata.amend(path, dataclasses.replace(metadata, condition=()))
    with pytest.raises(ArtifactError, match="by its metadata it takes z as inputs, but it has z, condition"):
        Session.open(path, device="cpu")
    with pytest.raises(ArtifactError, match="takes a condition of 3 values, but its metadata name 0; export"):
        onnx_import.load_generator(path)
    onnx_metadata.amend(path, dataclasses.replace(metadata, condition=("view AP", "weight", "view unknown")))
    with pytest.raises(ArtifactError, match=r"generator\.onnx: its metadata: its condition has other columns"):
        Session.open(path, device="cpu")
    onnx_metadata.amend(path, dataclasses.replace(metadata, condition=list_columns(["age"])))
    with pytest.raises(ArtifactError, match=r"its input 'condition' .* does not match its metadata, N and \[2\]"):
        Session.open(path, device="cpu")


def check_classifier(network: dict[str, object], path: Path, *, fp16: bool) -> None:
    write_classifier(path, network, fp16=fp16)
    side = int(str(network["image_resolution"]))
    x = torch.rand(3, 1, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        rebuilt = onnx_import.load_classifier(path)(x)
    expected = Session.open(path, device="cpu").run(x.numpy())
    for output, expected_output in zip(rebuilt, (expected["logits"], expected["features"]), strict=True):
        tolerance = 1e-4 * max(1, np.abs(expected_output).max())
        np.testing.assert_allclose(output.numpy(), expected_output, atol=tolerance)


@pytest.mark.parametrize("network", [SMALL, pytest.param(LITE0, marks=pytest.mark.slow)], ids=["small", "lite0"])
@pytest.mark.parametrize("fp16", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_classifier_is_rebuilt(network: dict[str, object], tmp_path: Path, *, fp16: bool) -> None:
    """With folded norms, in fp32 and fp16, logits and features agree to 1e-4 of their scale."""
    check_classifier(network, tmp_path / "classifier.onnx", fp16=fp16)


@pytest.mark.slow
def test_a_densenet_is_rebuilt(tmp_path: Path) -> None:
    """In DenseNet-121 the norms precede the convolutions, so they are in the file."""
    check_classifier(DENSE, tmp_path / "classifier.onnx", fp16=True)


def test_unusable_files_are_refused(tmp_path: Path) -> None:
    """A wrong kind, a missing weight and missing network metadata each raise an error that names the problem."""
    path = write_generator(tmp_path / "generator.onnx")
    with pytest.raises(ArtifactError, match="is a generator, expected a classifier"):
        onnx_import.load_classifier(path)
    model, metadata = onnx.load(path), onnx_metadata.read(path)
    weights = [tensor for tensor in model.graph.initializer if tensor.name == "blocks.8.conv1.weight"]
    weights[0].name = "other"
    for node in model.graph.node:
        node.input[:] = ["other" if name == "blocks.8.conv1.weight" else name for name in node.input]
    onnx_metadata.stamp(model, metadata)
    onnx.save(model, path)
    with pytest.raises(ArtifactError, match=r"weight 'blocks\.8\.conv1\.weight' of its network is missing"):
        onnx_import.load_generator(path)
    onnx_metadata.amend(path, dataclasses.replace(metadata, network={}))
    with pytest.raises(ArtifactError, match="network: latent: missing"):
        onnx_import.load_generator(path)
