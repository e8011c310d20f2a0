"""Export of a trained project: three contracts, torch and onnxruntime alike, and nothing of a film in what ships."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from synthcxr import contract as contracts
from synthcxr import dataset, images, records, seeds
from synthcxr.errors import ArtifactError
from synthcxr.labels import FINDINGS
from synthcxr.networks import classifier as classifiers
from synthcxr.networks import generator as generators
from synthcxr.networks import layers, weights
from synthcxr.networks.onnx import round_weights
from synthcxr.stages import export
from synthcxr.synthesis.session import Session

if TYPE_CHECKING:
    from conftest import Trained


@pytest.mark.parametrize("n", [1, 3, 32])
def test_generator_is_the_averaged_network(trained: Trained, n: int) -> None:
    """generator.onnx gives what the torch generator of the same rounded weights gives, to 1e-4."""
    network = generators.build(records.read_json(trained.gan / "config.json")["network"])
    weights.restore(network, trained.gan / "generator.safetensors")
    layers.fold_scales(network)
    round_weights(network)
    z = seeds.latents(7, 0, n, network.latent)
    with torch.no_grad():
        expected = network(torch.from_numpy(z)).numpy()
    image = Session.open(trained.onnx / "generator.onnx", kind="generator", device="cpu").run(z)["image"]
    assert image.shape == (n, 1, 16, 16)
    assert np.abs(image - expected).max() < 1e-4


@pytest.mark.parametrize("kind", ["classifier", "judge"])
@pytest.mark.parametrize("n", [1, 3, 32])
def test_classifiers_are_those_that_were_trained(trained: Trained, kind: str, n: int) -> None:
    """Logits and features agree with torch on the same rounded weights, to 1e-4 of their scale."""
    folder: Path = getattr(trained, kind)
    network = classifiers.build(records.read_json(folder / "config.json")["network"]).eval()
    weights.restore(network, folder / "weights.safetensors")
    classifiers.fold(network)
    round_weights(network)
    image = images.to_float(np.random.default_rng(0).integers(0, 256, (n, 16, 16), dtype=np.uint8))
    with torch.no_grad():
        logits, features = (tensor.numpy() for tensor in network(torch.from_numpy(image)))
    got = Session.open(trained.onnx / f"{kind}.onnx", device="cpu").run(image)
    assert np.abs(got["logits"] - logits).max() < 1e-4 * max(1, np.abs(logits).max())
    assert np.abs(got["features"] - features).max() < 1e-4 * max(1, np.abs(features).max())


def test_contracts_name_films_findings_and_thresholds(trained: Trained) -> None:
    """Every file says from which films it is; classifier and judge hold a threshold a finding."""
    films = dataset.open_dataset(trained.data)
    for name in ("generator", "classifier", "judge"):
        contract = contracts.read(trained.onnx / f"{name}.onnx", kind=name)
        assert (contract.training_data, contract.phantom, contract.resolution) == (films.fingerprint, True, 16)
        assert set(contract.thresholds) == (set() if name == "generator" else set(FINDINGS))


def test_what_ships_of_the_films_is_counts_features_and_distances(trained: Trained) -> None:
    """reference.npz loads without pickle, holds no test film and no array of an image's shape."""
    films = dataset.open_dataset(trained.data)
    n_val = len(films.indices(16, ("val",)))
    with np.load(trained.onnx / "reference.npz", allow_pickle=False) as reference:
        assert int(reference["n_val"]) == n_val
        assert reference["judge_features"].shape[0] == n_val
        assert reference["judge_features"].dtype == np.float16
        assert reference["counts"].shape == (15,)
        assert reference["counts"][0] <= n_val
        assert float(reference["floor_judge"]) > 0
        assert (np.diff(reference["nn_null_quantiles_judge"]) >= 0).all()
        assert str(reference["digest_judge"]) == contracts.read(trained.onnx / "judge.onnx").digest
        assert not any(array.shape[-2:] == (16, 16) for array in reference.values())


def test_exporting_again_gives_the_same_bytes(trained: Trained, tmp_path: Path) -> None:
    """Same weights in, same files out."""
    export.run(
        trained.config.export,
        data=trained.data,
        classifier=trained.classifier,
        judge=trained.judge,
        gan=trained.gan,
        out=tmp_path,
    )
    for name in ("generator.onnx", "classifier.onnx", "judge.onnx", "reference.npz", "model.json"):
        assert (tmp_path / name).read_bytes() == (trained.onnx / name).read_bytes(), name


def test_models_of_different_films_are_not_put_together(trained: Trained, tmp_path: Path) -> None:
    """A judge trained on other films is refused by name."""
    judge = shutil.copytree(trained.judge, tmp_path / "judge")
    about = records.read_json(judge / "config.json")
    records.write_json(judge / "config.json", about | {"training_data": "other"})
    with pytest.raises(ArtifactError, match="judge: was trained on films other"):
        export.run(
            dataclasses.replace(trained.config.export),
            data=trained.data,
            classifier=trained.classifier,
            judge=judge,
            gan=trained.gan,
            out=tmp_path / "out",
        )
