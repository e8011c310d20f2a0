"""The classifier's graph: sizes, resizing inside, rebuilding from its config, and the same answers in onnxruntime."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from synthcxr.config.schema import ClassifierConfig
from synthcxr.data import images
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ArtifactError
from synthcxr.model_files.onnx_metadata import Contract
from synthcxr.networks.classifier import Classifier, build, fold, initialise, network_config, resize
from synthcxr.networks.onnx_export import export

SMALL = {"backbone": "small", "resolution": 16, "image_resolution": 32, "width": 4}
DENSE = {"backbone": "densenet121", "resolution": 32, "image_resolution": 16}
LITE0 = {"backbone": "efficientnet-lite0", "resolution": 32, "image_resolution": 64}


def worn(network: dict[str, object], seed: int = 0) -> Classifier:
    """A classifier at rest whose norms are no longer the identity."""
    classifier = initialise(network, seed)
    generator = torch.Generator().manual_seed(seed)
    for module in classifier.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            for tensor in (module.bias.data, module.running_mean):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.2)
    return classifier.eval()


def films(n: int, side: int) -> torch.Tensor:
    return torch.rand(n, 1, side, side, generator=torch.Generator().manual_seed(n)) * 2 - 1


@pytest.mark.parametrize(("network", "n_features"), [(SMALL, 32), (DENSE, 1024), (LITE0, 1280)])
def test_14_logits_and_the_features_they_are_read_from(network: dict[str, object], n_features: int) -> None:
    """Any number of images gives 14 logits each, linear in the features."""
    classifier = worn(network)
    logits, features = classifier(films(3, int(str(network["image_resolution"]))))
    assert logits.shape == (3, 14)
    assert features.shape == (3, n_features) == (3, classifier.n_features)
    torch.testing.assert_close(logits, classifier.head(features))


@pytest.mark.parametrize("network", [SMALL, DENSE, LITE0])
def test_config_survives_json_and_rebuilds_the_network(network: dict[str, object]) -> None:
    """A network rebuilt from the JSON of its config takes the weights and gives the same answers."""
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
    assert network_config(config, int(str(network["image_resolution"]))) == network
    first, second = worn(network), build(json.loads(json.dumps(network))).eval()
    second.load_state_dict(first.state_dict())
    x = films(2, int(str(network["image_resolution"])))
    torch.testing.assert_close(first(x), second(x), rtol=0, atol=0)


def test_first_weights_follow_the_seed_alone() -> None:
    """The same seed gives the same weights, another gives others, and torch's own stream goes on untouched."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, other = initialise(SMALL, 1), initialise(SMALL, 1), initialise(SMALL, 2)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)
    weights = [classifier.state_dict()["backbone.stem.0.weight"] for classifier in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_resizing_by_powers_of_two_is_the_box_reduction_of_the_packed_dataset() -> None:
    """The graph's reduction of an image is the one by which the packed dataset's smaller films were made."""
    image = films(1, 64)
    expected = images.resize(image[0, 0].numpy(), 16)
    np.testing.assert_allclose(resize(image, 64, 16)[0, 0].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(("side", "wanted"), [(16, 16), (8, 32), (256, 224), (1024, 224), (1024, 48), (64, 24)])
def test_resizing_keeps_a_constant_and_the_centre(side: int, wanted: int) -> None:
    """Any side comes out at the wanted one; a flat image stays flat and a symmetric ramp keeps its mean."""
    flat = torch.full((1, 1, side, side), 0.25)
    assert resize(flat, side, wanted).shape == (1, 1, wanted, wanted)
    torch.testing.assert_close(resize(flat, side, wanted), torch.full((1, 1, wanted, wanted), 0.25))
    ramp = torch.linspace(-1, 1, side).expand(1, 1, side, side)
    assert resize(ramp, side, wanted).mean().item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("network", [SMALL, LITE0])
def test_folding_norms_changes_no_answer_and_is_rebuilt_by_name(network: dict[str, object]) -> None:
    """A folded network answers as before, holds no norm, and its config with "folded" makes one of the same names."""
    classifier, x = worn(network), films(2, int(str(network["image_resolution"])))
    before = classifier(x)
    fold(classifier)
    torch.testing.assert_close(classifier(x), before, rtol=1e-4, atol=1e-5)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in classifier.modules())
    build(network | {"folded": True}).load_state_dict(classifier.state_dict())


def exported(network: dict[str, object], folder: Path) -> tuple[Classifier, Path]:
    classifier = worn(network)
    fold(classifier)
    side = int(str(network["image_resolution"]))
    contract = Contract(
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
    export(
        classifier,
        path=folder / "classifier.onnx",
        contract=contract,
        row=(1, side, side),
        input_name="image",
        output_names=("logits", "features"),
        fp16=False,
    )
    return classifier, folder / "classifier.onnx"


def check_export(network: dict[str, object], folder: Path) -> None:
    classifier, path = exported(network, folder)
    model = onnx.load(path)
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert shape[0].dim_param
    assert [d.dim_value for d in shape][1:] == [1, network["image_resolution"], network["image_resolution"]]
    held = {tensor.name for tensor in model.graph.initializer}
    assert {name for name, _ in classifier.named_parameters()} <= held
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for n in (1, 3):
        x = films(n, int(str(network["image_resolution"])))
        with torch.no_grad():
            expected = classifier(x)
        for found, wanted in zip(session.run(["logits", "features"], {"image": x.numpy()}), expected, strict=True):
            np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4)


@pytest.mark.parametrize("sides", [(16, 32), (64, 24)])
def test_onnxruntime_agrees_at_any_number_of_images(sides: tuple[int, int], tmp_path: Path) -> None:
    """The exported graph resizes by itself, answers as torch does at N = 1 and 3, and keeps the parameters' names."""
    check_export(SMALL | {"image_resolution": sides[0], "resolution": sides[1]}, tmp_path)


@pytest.mark.slow
def test_onnxruntime_agrees_on_densenet(tmp_path: Path) -> None:
    """DenseNet-121 too, from grey images, normalised and repeated inside the graph."""
    check_export(DENSE, tmp_path)


def test_a_config_of_another_kind_is_refused() -> None:
    """An unknown backbone and a generator's config each get a plain error."""
    with pytest.raises(ArtifactError, match="unknown backbone 'resnet'; known: small, densenet121"):
        build(SMALL | {"backbone": "resnet"})
    with pytest.raises(ArtifactError, match="names no classifier"):
        build({"latent": 64})
