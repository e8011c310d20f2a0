"""Export of a trained project: three contracts, torch and onnxruntime alike, and nothing of a film in what ships."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from synthcxr.data import images, random_streams
from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.data.findings import FINDINGS
from synthcxr.data.leakage import SPLITS_SEEN_IN_TRAINING, TRAINING_FILMS_FILE, TrainingFilms
from synthcxr.errors import ArtifactError
from synthcxr.model_files import onnx_metadata, predictions
from synthcxr.networks import classifier as classifiers
from synthcxr.networks import generator as generators
from synthcxr.networks import layers, safetensors_files
from synthcxr.networks.onnx_export import round_weights_to_fp16
from synthcxr.stages import export, train_classifier
from synthcxr.storage import json_files
from synthcxr.synthesis.runtime.onnx_session import Session

if TYPE_CHECKING:
    from conftest import Trained


@pytest.mark.parametrize("n", [1, 3, 32])
def test_generator_is_the_averaged_network(trained: Trained, n: int) -> None:
    """generator.onnx gives what the torch generator of the same rounded weights gives, to 1e-4."""
    network = generators.build_generator(json_files.read_json(trained.gan / "config.json")["network"])
    safetensors_files.load_weights(network, trained.gan / "generator.safetensors")
    layers.fold_scales(network)
    round_weights_to_fp16(network)
    z = random_streams.draw_latents(7, 0, n, network.latent)
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
    network = classifiers.build_classifier(json_files.read_json(folder / "config.json")["network"]).eval()
    safetensors_files.load_weights(network, folder / "weights.safetensors")
    classifiers.fold_norms(network)
    round_weights_to_fp16(network)
    image = images.to_float(np.random.default_rng(0).integers(0, 256, (n, 16, 16), dtype=np.uint8))
    with torch.no_grad():
        logits, features = (tensor.numpy() for tensor in network(torch.from_numpy(image)))
    got = Session.open(trained.onnx / f"{kind}.onnx", device="cpu").run(image)
    assert np.abs(got["logits"] - logits).max() < 1e-4 * max(1, np.abs(logits).max())
    assert np.abs(got["features"] - features).max() < 1e-4 * max(1, np.abs(features).max())


def test_contracts_name_films_findings_and_thresholds(trained: Trained) -> None:
    """Every file says from which films it is; classifier and judge hold a threshold a finding."""
    films = open_film_dataset(trained.data)
    for name in ("generator", "classifier", "judge"):
        metadata = onnx_metadata.read(trained.onnx / f"{name}.onnx", kind=name)
        assert (metadata.training_data, metadata.phantom, metadata.resolution) == (films.fingerprint, True, 16)
        assert set(metadata.thresholds) == (set() if name == "generator" else set(FINDINGS))


def test_what_ships_of_the_films_is_counts_features_and_distances(trained: Trained) -> None:
    """reference.npz loads without pickle, holds the features of val films and of no others, and nothing as large as an
    image a film."""
    films = open_film_dataset(trained.data)
    judge = Session.open(trained.onnx / "judge.onnx", device="cpu")
    val = judge.run(images.to_float(films.images(16, ("val",))[0]))["features"]
    n_val = len(val)
    with np.load(trained.onnx / "reference.npz", allow_pickle=False) as reference:
        assert int(reference["n_val"]) == n_val
        held = reference["judge_features"]
        assert held.dtype == np.float16
        apart = np.abs(held[:, None].astype(np.float32) - val).max(axis=2)
        assert sorted(apart.argmin(axis=1)) == list(range(n_val))
        assert apart.min(axis=1).max() < 1e-2 * np.abs(val).max()
        assert reference["counts"].shape == (15,)
        assert reference["counts"][0] <= n_val
        assert float(reference["floor_judge"]) > 0
        assert (np.diff(reference["nn_null_quantiles_judge"]) >= 0).all()
        assert str(reference["digest_judge"]) == onnx_metadata.read(trained.onnx / "judge.onnx").digest
        assert not any(array.shape[-2:] == (16, 16) for array in reference.values())
        others = [array for name, array in reference.items() if name != "judge_features"]
        assert all(array.size < n_val * 16 * 16 for array in others)


@pytest.mark.slow
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
    about = json_files.read_json(judge / "config.json")
    json_files.write_json(judge / "config.json", about | {"training_data": "other"})
    with pytest.raises(ArtifactError, match="judge: was trained on films other"):
        export.run(
            dataclasses.replace(trained.config.export),
            data=trained.data,
            classifier=trained.classifier,
            judge=judge,
            gan=trained.gan,
            out=tmp_path / "out",
        )


@pytest.fixture(scope="module")
def other(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export with a classifier that was trained at 8 px, and a generator that went on from a model of test films."""
    root = tmp_path_factory.mktemp("other")
    config = dataclasses.replace(trained.config.train_classifier, resolution=8, n_epochs=1, n_bootstrap=0)
    train_classifier.run(config, data=trained.data, out=root / "classifier", split="train", log=root / "log.csv")
    about = json_files.read_json(root / "classifier" / "config.json")
    assert about["network"]["image_resolution"] == 8
    json_files.write_json(root / "classifier" / "config.json", about | {"thresholds": dict.fromkeys(FINDINGS, 0.99999)})
    films, gan = open_film_dataset(trained.data), shutil.copytree(trained.gan, root / "gan")
    np.savez(gan / TRAINING_FILMS_FILE, **TrainingFilms.from_dataset(films, SPLITS_SEEN_IN_TRAINING).to_arrays(earlier=TrainingFilms.from_dataset(films, ("test",))))
    export.run(
        trained.config.export,
        data=trained.data,
        classifier=root / "classifier",
        judge=trained.judge,
        gan=gan,
        out=root / "onnx",
    )
    return root / "onnx"


@pytest.mark.slow
def test_thresholds_are_those_of_images_of_the_generators_size(trained: Trained, other: Path) -> None:
    """A classifier trained at 8 px calls as many val films of the generator's 16 px positive as are, by its file."""
    session = Session.open(other / "classifier.onnx", kind="classifier", device="cpu")
    films = open_film_dataset(trained.data)
    pixels, rows = films.images(16, ("val",))
    probabilities = predictions.to_probabilities(session.run(images.to_float(pixels))["logits"])
    limits = np.array([session.metadata.thresholds[finding] for finding in FINDINGS])
    truly = (films.findings(rows) == 1).sum(axis=0)
    surely, perhaps = ((probabilities >= limits + by).sum(axis=0) for by in (1e-6, -1e-6))  # batches round apart
    for finding, least, n_truly, most in zip(FINDINGS, surely, truly, perhaps, strict=True):
        if finding not in session.metadata.weak:
            assert least <= n_truly <= most, finding
    assert session.metadata.weak == tuple(name for name, n in zip(FINDINGS, truly, strict=True) if n < 3)
    matched_in_training = json_files.read_json(trained.judge / "config.json")["thresholds"]
    assert onnx_metadata.read(other / "judge.onnx").thresholds == matched_in_training


@pytest.mark.slow
def test_what_was_seen_before_ships_too(trained: Trained, other: Path) -> None:
    """Of a generator that went on from another model, the films that one saw stand in reference.npz, apart."""
    films = open_film_dataset(trained.data)
    for read, splits in ((TrainingFilms.read, SPLITS_SEEN_IN_TRAINING), (TrainingFilms.read_earlier, ("test",))):
        assert read(other / "reference.npz").films.tolist() == sorted(TrainingFilms.from_dataset(films, splits).films.tolist())


def test_the_nearest_film_is_found_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distances to the nearest of many rows are those of plain arithmetic, however few pairs may lie in memory."""
    rng = np.random.default_rng(0)
    queries, held = (rng.normal(3, 1, (n, 6)).astype(np.float32) for n in (7, 50))
    plain = np.sqrt(((queries[:, None].astype(float) - held[None]) ** 2).sum(axis=2)).min(axis=1)
    for cells in (1, 7 * 13, 2**23):
        monkeypatch.setattr(export, "CELLS", cells)
        np.testing.assert_allclose(export._nearest(queries, held), plain, rtol=1e-9)
