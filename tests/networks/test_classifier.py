"""The classifier network: shapes, resizing in the graph, rebuilding from its config, and agreement with onnxruntime."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from support.exported_models import create_classifier

from synthcxr.config.schema import ClassifierConfig
from synthcxr.data import images
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ArtifactError
from synthcxr.model_files.onnx_metadata import ModelMetadata
from synthcxr.networks.classifier import (
    Classifier,
    build_classifier,
    build_network_config,
    fold_norms,
    initialise_classifier,
    resize,
)
from synthcxr.networks.onnx_export import export_onnx

SMALL = {"backbone": "small", "resolution": 16, "image_resolution": 32, "width": 4}
DENSE = {"backbone": "densenet121", "resolution": 32, "image_resolution": 16}
LITE0 = {"backbone": "efficientnet-lite0", "resolution": 32, "image_resolution": 64}


def draw_images(n: int, side: int) -> torch.Tensor:
    return torch.rand(n, 1, side, side, generator=torch.Generator().manual_seed(n)) * 2 - 1


@pytest.mark.parametrize(("network", "n_features"), [(SMALL, 32), (DENSE, 1024), (LITE0, 1280)])
def test_it_returns_14_logits_and_features(network: dict[str, object], n_features: int) -> None:
    """Each image gets 14 logits, which are linear in its features."""
    classifier = create_classifier(network)
    logits, features = classifier(draw_images(3, int(str(network["image_resolution"]))))
    assert logits.shape == (3, 14)
    assert features.shape == (3, n_features) == (3, classifier.n_features)
    torch.testing.assert_close(logits, classifier.head(features))


@pytest.mark.parametrize("network", [SMALL, DENSE, LITE0])
def test_network_config_survives_json_and_rebuilds_the_network(network: dict[str, object]) -> None:
    """A network rebuilt from the JSON of its config accepts the weights and returns the same output."""
    config = ClassifierConfig(
        backbone=network["backbone"],  # type: ignore[arg-type]
        weights="none",
        resolution=int(str(network["resolution"])),
        width=4,
        n_epochs=1,
        batch=2,
        lr=1e-3,
        weight_decay=0.0,
        n_bootstrap=0,
        seed=0,
        device="cpu",
    )
    assert build_network_config(config, int(str(network["image_resolution"]))) == network
    first, second = create_classifier(network), build_classifier(json.loads(json.dumps(network))).eval()
    second.load_state_dict(first.state_dict())
    x = draw_images(2, int(str(network["image_resolution"])))
    torch.testing.assert_close(first(x), second(x), rtol=0, atol=0)


def test_initial_weights_depend_on_the_seed_only() -> None:
    """The same seed gives the same weights, another seed gives others, and the global torch stream is unchanged."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, other = (
        initialise_classifier(SMALL, 1),
        initialise_classifier(SMALL, 1),
        initialise_classifier(SMALL, 2),
    )
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)
    weights = [classifier.state_dict()["backbone.stem.0.weight"] for classifier in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_resizing_by_powers_of_two_equals_the_box_filter_of_packing() -> None:
    """The graph reduces an image as `prepare` reduces films to smaller resolutions."""
    image = draw_images(1, 64)
    expected = images.resize(image[0, 0].numpy(), 16)
    np.testing.assert_allclose(resize(image, 64, 16)[0, 0].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(("side", "target_side"), [(16, 16), (8, 32), (256, 224), (1024, 224), (1024, 48), (64, 24)])
def test_resizing_keeps_a_constant_and_the_centre(side: int, target_side: int) -> None:
    """Any side is resized to the target; a constant image stays constant and a symmetric ramp keeps its mean."""
    flat = torch.full((1, 1, side, side), 0.25)
    assert resize(flat, side, target_side).shape == (1, 1, target_side, target_side)
    torch.testing.assert_close(resize(flat, side, target_side), torch.full((1, 1, target_side, target_side), 0.25))
    ramp = torch.linspace(-1, 1, side).expand(1, 1, side, side)
    assert resize(ramp, side, target_side).mean().item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("network", [SMALL, LITE0])
def test_folding_norms_keeps_the_output_and_the_network_can_be_rebuilt(network: dict[str, object]) -> None:
    """A folded network has the same output and no batch norm; its config with "folded" gives the same tensor names."""
    classifier, x = create_classifier(network), draw_images(2, int(str(network["image_resolution"])))
    before = classifier(x)
    fold_norms(classifier)
    torch.testing.assert_close(classifier(x), before, rtol=1e-4, atol=1e-5)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in classifier.modules())
    build_classifier(network | {"folded": True}).load_state_dict(classifier.state_dict())


def export_classifier(network: dict[str, object], folder: Path) -> tuple[Classifier, Path]:
    classifier = create_classifier(network)
    fold_norms(classifier)
    side = int(str(network["image_resolution"]))
    metadata = ModelMetadata(
        kind="classifier",
        resolution=side,
        latent=0,
        findings=FINDINGS,
        thresholds=dict.fromkeys(FINDINGS, 0.5),
        network=network | {"folded": True},
        training_data="films",
        phantom=True,
        licence="Apache-2.0",
    )
    export_onnx(
        classifier,
        path=folder / "classifier.onnx",
        metadata=metadata,
        row=(1, side, side),
        input_name="image",
        output_names=("logits", "features"),
        fp16=False,
    )
    return classifier, folder / "classifier.onnx"


def check_export(network: dict[str, object], folder: Path) -> None:
    classifier, path = export_classifier(network, folder)
    model = onnx.load(path)
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert shape[0].dim_param
    assert [d.dim_value for d in shape][1:] == [1, network["image_resolution"], network["image_resolution"]]
    initialisers = {tensor.name for tensor in model.graph.initializer}
    assert {name for name, _ in classifier.named_parameters()} <= initialisers
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for n in (1, 3):
        x = draw_images(n, int(str(network["image_resolution"])))
        with torch.no_grad():
            expected = classifier(x)
        outputs = session.run(["logits", "features"], {"image": x.numpy()})
        for output, expected_output in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(output, expected_output.numpy(), atol=1e-4)


@pytest.mark.parametrize("sides", [(16, 32), (64, 24)])
def test_onnxruntime_agrees_with_torch(sides: tuple[int, int], tmp_path: Path) -> None:
    """The exported graph resizes images, agrees with torch at N = 1 and 3, and keeps the parameter names."""
    check_export(SMALL | {"image_resolution": sides[0], "resolution": sides[1]}, tmp_path)


@pytest.mark.slow
def test_onnxruntime_agrees_with_torch_on_densenet(tmp_path: Path) -> None:
    """DenseNet-121 takes grey images; the graph normalises and repeats them."""
    check_export(DENSE, tmp_path)


def test_the_config_of_another_network_is_refused() -> None:
    """An unknown backbone and the config of a generator each raise ArtifactError."""
    with pytest.raises(ArtifactError, match="unknown backbone 'resnet'; choose small, densenet121"):
        build_classifier(SMALL | {"backbone": "resnet"})
    with pytest.raises(ArtifactError, match="not the description of a classifier"):
        build_classifier({"latent": 64})
