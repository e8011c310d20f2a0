from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from synthcxr import contract, records
from synthcxr.api import Sampler
from synthcxr.contract import Contract, Kind
from synthcxr.errors import ArtifactError, ConfigError, DataError
from synthcxr.labels import FINDINGS
from synthcxr.registry import bundle

SIDE, LATENT = 8, 4


def write_model(path: Path, kind: Kind, seed: int = 0) -> None:
    """A stand-in with our contract: one matrix product in place of a network."""
    rng = np.random.default_rng(seed)
    pixels = SIDE * SIDE
    if kind == "generator":
        weights = {"w": (LATENT, pixels)}
        shape = np.array([-1, 1, SIDE, SIDE])
        nodes = [("MatMul", ["z", "w"], ["flat"]), ("Tanh", ["flat"], ["t"]), ("Reshape", ["t", "shape"], ["image"])]
        inputs = {"z": ["N", LATENT]}
        outputs = {"image": ["N", 1, SIDE, SIDE]}
    else:
        weights = {"w": (pixels, len(FINDINGS)), "v": (pixels, 3)}
        shape = np.array([-1, pixels])
        nodes = [
            ("Reshape", ["image", "shape"], ["flat"]),
            ("MatMul", ["flat", "w"], ["logits"]),
            ("MatMul", ["flat", "v"], ["features"]),
        ]
        inputs = {"image": ["N", 1, SIDE, SIDE]}
        outputs = {"logits": ["N", len(FINDINGS)], "features": ["N", 3]}
    graph = helper.make_graph(
        [helper.make_node(op, takes, gives) for op, takes, gives in nodes],
        kind,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape_) for name, shape_ in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape_) for name, shape_ in outputs.items()],
        [numpy_helper.from_array(shape, "shape")]
        + [numpy_helper.from_array(rng.normal(size=size).astype(np.float32), name) for name, size in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    thresholds = {} if kind == "generator" else dict.fromkeys(FINDINGS, 0.5)
    held = Contract(
        kind=kind,
        resolution=SIDE,
        latent=LATENT if kind == "generator" else 0,
        findings=FINDINGS,
        thresholds=thresholds,
        network={},
        training_data="0123456789abcdef",
        phantom=True,
        licence="Apache-2.0",
    )
    contract.stamp(model, held)
    onnx.save(model, path)


def write_folder(folder: Path, seed: int = 0) -> Path:
    """A models/onnx folder: three stand-ins, a reference and model.json."""
    folder.mkdir(parents=True)
    for name in bundle.ONNX_FILES:
        write_model(folder / name, name.removesuffix(".onnx"), seed)  # type: ignore[arg-type]
    np.savez(folder / "reference.npz", counts=np.zeros(15))
    index = {
        "files": {path.name: {"sha256": records.sha256_file(path)} for path in sorted(folder.iterdir())},
        "training_data": "0123456789abcdef",
        "phantom": True,
        "attribution": ["Films of nobody"],
        "resolution": SIDE,
    }
    records.write_json(folder / bundle.INDEX, index)
    return folder


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    return Sampler.open(write_folder(tmp_path_factory.mktemp("models") / "onnx"), device="cpu")


def test_images_come_with_a_table(sampler: Sampler) -> None:
    """n uint8 images and as many rows; without labels the first n candidates of the seed."""
    images, table = sampler.sample(n=40, seed=3)
    assert (images.dtype, images.shape) == (np.uint8, (40, SIDE, SIDE))
    assert list(table["index"]) == list(range(40))
    assert set(table["seed"]) == {3}
    assert set(table["requested"]) == {""}


def test_a_seed_names_its_images(sampler: Sampler) -> None:
    """The same seed gives the same bytes, whatever n; another seed gives others."""
    few, _ = sampler.sample(n=5, seed=1)
    many, _ = sampler.sample(n=50, seed=1)
    other, _ = sampler.sample(n=5, seed=2)
    np.testing.assert_array_equal(few, many[:5])
    assert (few != other).any()


def test_labelled_images_are_the_accepted_of_the_unlabelled(sampler: Sampler) -> None:
    """With labels exactly those candidates come that show all of them, in candidate order."""
    _, everything = sampler.sample(n=200, seed=1)
    images, table = sampler.sample(["edema", "Mass"], n=10, seed=1)
    shows = everything["Finding Labels"].map(lambda text: {"Edema", "Mass"} <= set(text.split("|")))
    assert list(table["index"]) == list(everything["index"][shows][:10])
    assert set(table["requested"]) == {"Mass|Edema"}
    assert len(images) == 10
    _, one = sampler.sample("Mass", n=1, seed=1)
    assert list(one["requested"]) == ["Mass"]


def test_fewer_than_asked_is_said(sampler: Sampler) -> None:
    """A request that max_draws candidates cannot meet gives what they hold, and warns."""
    with pytest.warns(UserWarning, match="found .* of 9 images among 32 draws; raise max_draws"):
        images, table = sampler.sample(FINDINGS[:10], n=9, seed=1, max_draws=32)
    assert len(images) == len(table) < 9
    assert images.shape[1:] == (SIDE, SIDE)


def test_bad_requests_are_errors(sampler: Sampler, tmp_path: Path) -> None:
    """An unknown finding, no image and no model are errors that say so."""
    with pytest.raises(DataError, match="unknown finding 'Cough'"):
        sampler.sample(["Cough"])
    with pytest.raises(ConfigError, match="n must be at least 1"):
        sampler.sample(n=0)
    with pytest.raises(ConfigError, match="max_draws must be at least 1"):
        sampler.sample(n=1, max_draws=0)
    with pytest.raises(ArtifactError, match="no such model"):
        Sampler.open(tmp_path / "nowhere")
