"""The export stage: metadata, agreement of torch and onnxruntime, and no film content in the output."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from support.exported_models import round_weights_to_fp16

from synthcxr.data import images, random_streams
from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.data.findings import FINDINGS
from synthcxr.data.leakage import SPLITS_SEEN_IN_TRAINING, TRAINING_FILMS_FILE, TrainingFilms
from synthcxr.errors import ArtifactError
from synthcxr.model_files import onnx_metadata, predictions
from synthcxr.networks import safetensors_files
from synthcxr.networks.classifier import build_classifier, fold_norms
from synthcxr.networks.generator import build_generator
from synthcxr.networks.layers import fold_scales
from synthcxr.stages import export, train_classifier
from synthcxr.storage import json_files
from synthcxr.synthesis.runtime.onnx_session import Session

if TYPE_CHECKING:
    from conftest import Trained


@pytest.mark.parametrize("n", [1, 3, 32])
def test_the_exported_generator_agrees_with_torch(trained: Trained, n: int) -> None:
    """generator.onnx is the averaged generator with weights rounded to fp16; images agree to 1e-4."""
    network = build_generator(json_files.read_json(trained.gan / "config.json")["network"])
    safetensors_files.load_weights(network, trained.gan / "generator.safetensors")
    fold_scales(network)
    round_weights_to_fp16(network)
    z = random_streams.draw_latents(7, 0, n, network.latent)
    with torch.no_grad():
        expected = network(torch.from_numpy(z)).numpy()
    image = Session.open(trained.onnx / "generator.onnx", kind="generator", device="cpu").run(z)["image"]
    assert image.shape == (n, 1, 16, 16)
    assert np.abs(image - expected).max() < 1e-4


@pytest.mark.parametrize("kind", ["classifier", "judge"])
@pytest.mark.parametrize("n", [1, 3, 32])
def test_the_exported_classifiers_agree_with_torch(trained: Trained, kind: str, n: int) -> None:
    """With weights rounded to fp16, logits and features agree to 1e-4 of their scale."""
    folder: Path = getattr(trained, kind)
    network = build_classifier(json_files.read_json(folder / "config.json")["network"]).eval()
    safetensors_files.load_weights(network, folder / "weights.safetensors")
    fold_norms(network)
    round_weights_to_fp16(network)
    image = images.to_float(np.random.default_rng(0).integers(0, 256, (n, 16, 16), dtype=np.uint8))
    with torch.no_grad():
        logits, features = (tensor.numpy() for tensor in network(torch.from_numpy(image)))
    outputs = Session.open(trained.onnx / f"{kind}.onnx", device="cpu").run(image)
    assert np.abs(outputs["logits"] - logits).max() < 1e-4 * max(1, np.abs(logits).max())
    assert np.abs(outputs["features"] - features).max() < 1e-4 * max(1, np.abs(features).max())


def test_the_metadata_name_films_and_thresholds(trained: Trained) -> None:
    """Every file names its training films; classifier and judge have a threshold for each finding."""
    dataset = open_film_dataset(trained.data)
    for name in ("generator", "classifier", "judge"):
        metadata = onnx_metadata.read(trained.onnx / f"{name}.onnx", kind=name)
        assert (metadata.training_data, metadata.phantom, metadata.resolution) == (dataset.fingerprint, True, 16)
        assert set(metadata.thresholds) == (set() if name == "generator" else set(FINDINGS))


def test_the_reference_contains_no_images(trained: Trained) -> None:
    """reference.npz loads without pickle, has the features of val films only, and no array as large as the images."""
    dataset = open_film_dataset(trained.data)
    judge = Session.open(trained.onnx / "judge.onnx", device="cpu")
    val_features = judge.run(images.to_float(dataset.images(16, ("val",))[0]))["features"]
    n_val = len(val_features)
    with np.load(trained.onnx / "reference.npz", allow_pickle=False) as reference:
        assert int(reference["n_val"]) == n_val
        features = reference["judge_features"]
        assert features.dtype == np.float16
        differences = np.abs(features[:, None].astype(np.float32) - val_features).max(axis=2)
        assert sorted(differences.argmin(axis=1)) == list(range(n_val))
        assert differences.min(axis=1).max() < 1e-2 * np.abs(val_features).max()
        assert reference["counts"].shape == (15,)
        assert reference["counts"][0] <= n_val
        assert float(reference["floor_judge"]) > 0
        assert (np.diff(reference["nn_null_quantiles_judge"]) >= 0).all()
        assert str(reference["digest_judge"]) == onnx_metadata.read(trained.onnx / "judge.onnx").digest
        assert not any(array.shape[-2:] == (16, 16) for array in reference.values())
        others = [array for name, array in reference.items() if name != "judge_features"]
        assert all(array.size < n_val * 16 * 16 for array in others)


@pytest.mark.slow
def test_a_second_export_gives_the_same_bytes(trained: Trained, tmp_path: Path) -> None:
    """The same weights give the same files."""
    export.run(
        trained.config.export,
        films=trained.data,
        classifier=trained.classifier,
        judge=trained.judge,
        gan=trained.gan,
        out=tmp_path,
    )
    for name in ("generator.onnx", "classifier.onnx", "judge.onnx", "reference.npz", "model.json"):
        assert (tmp_path / name).read_bytes() == (trained.onnx / name).read_bytes(), name


def test_models_of_different_films_are_refused(trained: Trained, tmp_path: Path) -> None:
    """The error names the judge that was trained on other films."""
    judge = shutil.copytree(trained.judge, tmp_path / "judge")
    description = json_files.read_json(judge / "config.json")
    json_files.write_json(judge / "config.json", description | {"training_data": "other"})
    with pytest.raises(ArtifactError, match="judge: trained on films other"):
        export.run(
            trained.config.export,
            films=trained.data,
            classifier=trained.classifier,
            judge=judge,
            gan=trained.gan,
            out=tmp_path / "out",
        )


@pytest.fixture(scope="module")
def mixed_export(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of a classifier trained at 8 px, and of a generator that started from a model of test films."""
    root = tmp_path_factory.mktemp("mixed")
    config = dataclasses.replace(trained.config.train_classifier, resolution=8, n_epochs=1, n_bootstrap=0)
    train_classifier.run(config, films=trained.data, out=root / "classifier", split="train", log=root / "log.csv")
    description = json_files.read_json(root / "classifier" / "config.json")
    assert description["network"]["image_resolution"] == 8
    description["thresholds"] = dict.fromkeys(FINDINGS, 0.99999)
    json_files.write_json(root / "classifier" / "config.json", description)
    dataset, gan = open_film_dataset(trained.data), shutil.copytree(trained.gan, root / "gan")
    own, earlier = (TrainingFilms.from_dataset(dataset, splits) for splits in (SPLITS_SEEN_IN_TRAINING, ("test",)))
    np.savez(gan / TRAINING_FILMS_FILE, **own.to_arrays(earlier=earlier))
    export.run(
        trained.config.export,
        films=trained.data,
        classifier=root / "classifier",
        judge=trained.judge,
        gan=gan,
        out=root / "onnx",
    )
    return root / "onnx"


@pytest.mark.slow
def test_thresholds_are_fitted_at_the_resolution_of_the_generator(trained: Trained, mixed_export: Path) -> None:
    """The file of a classifier trained at 8 px detects as many positive val films at 16 px as there are."""
    session = Session.open(mixed_export / "classifier.onnx", kind="classifier", device="cpu")
    dataset = open_film_dataset(trained.data)
    pixels, rows = dataset.images(16, ("val",))
    probabilities = predictions.to_probabilities(session.run(images.to_float(pixels))["logits"])
    thresholds = np.array([session.metadata.thresholds[finding] for finding in FINDINGS])
    n_positive = (dataset.findings(rows) == 1).sum(axis=0)
    for finding, n, probability, threshold in zip(FINDINGS, n_positive, probabilities.T, thresholds, strict=True):
        if finding not in session.metadata.weak:  # allow for the rounding of other batch sizes
            assert (probability >= threshold + 1e-6).sum() <= n <= (probability >= threshold - 1e-6).sum(), finding
    assert session.metadata.weak == tuple(name for name, n in zip(FINDINGS, n_positive, strict=True) if n < 3)
    training_thresholds = json_files.read_json(trained.judge / "config.json")["thresholds"]
    assert onnx_metadata.read(mixed_export / "judge.onnx").thresholds == training_thresholds


@pytest.mark.slow
def test_the_reference_lists_the_films_of_earlier_trainings(trained: Trained, mixed_export: Path) -> None:
    """For a generator that started from another model, reference.npz lists the films of that model separately."""
    dataset = open_film_dataset(trained.data)
    for read, splits in ((TrainingFilms.read, SPLITS_SEEN_IN_TRAINING), (TrainingFilms.read_earlier, ("test",))):
        expected = TrainingFilms.from_dataset(dataset, splits)
        assert read(mixed_export / "reference.npz").films.tolist() == sorted(expected.films.tolist())


def test_nearest_distances_do_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distances agree with the direct computation for any number of pairs in memory."""
    rng = np.random.default_rng(0)
    queries, references = (rng.normal(3, 1, (n, 6)).astype(np.float32) for n in (7, 50))
    expected = np.sqrt(((queries[:, None].astype(float) - references[None]) ** 2).sum(axis=2)).min(axis=1)
    for max_pairs in (1, 7 * 13, 2**23):
        monkeypatch.setattr(export, "MAX_PAIRS", max_pairs)
        distances = export._measure_nearest_distances(queries, references)
        np.testing.assert_allclose(distances, expected, rtol=1e-9)


def test_summary_is_plain() -> None:
    """The lines name the files, the size of the images, the latent and the films."""
    index = {"files": {"generator.onnx": {}, "reference.npz": {}}, "resolution": 32, "latent": 64, "phantom": True}
    assert list(export.format_lines(index | {"training_data": "19bf"})) == [
        "generator.onnx, reference.npz, model.json",
        "images of 32 px from 64 latent numbers; trained on phantoms drawn by the program (fingerprint 19bf)",
    ]
