"""A conditional GAN from training to export: the table of its conditions, its graph, and what is refused."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from support.exported_models import round_weights_to_fp16

from synthcxr.config.gan_sections import ConditionPart
from synthcxr.config.schema import GanConfig
from synthcxr.data import random_streams
from synthcxr.data.condition import list_columns
from synthcxr.data.condition_table import ConditionTable, draw_conditions
from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.data.films import GAN_TRAINING_SPLITS
from synthcxr.data.rare_conditions import merge_rare_conditions
from synthcxr.errors import ArtifactError, ConfigError
from synthcxr.model_files import model_folder, onnx_metadata
from synthcxr.networks import safetensors_files
from synthcxr.networks.generator import build_generator
from synthcxr.networks.layers import fold_scales
from synthcxr.stages import distill, export, train_gan
from synthcxr.storage import json_files
from synthcxr.synthesis.runtime.onnx_session import Session

if TYPE_CHECKING:
    from conftest import Trained

pytestmark = pytest.mark.slow

PARTS: tuple[ConditionPart, ...] = ("findings", "view")


def train(trained: Trained, folder: Path, start: Path, condition: tuple[ConditionPart, ...] = PARTS) -> Path:
    """Continue from another training for 20 steps with the full condition."""
    config: GanConfig = dataclasses.replace(
        trained.config.train_gan, nimg={4: 0, 8: 0, 16: 320}, fade_nimg={}, condition=condition
    )
    train_gan.run(
        config,
        films=trained.data,
        out=folder / "gan",
        log=folder / "log.csv",
        snapshots=folder / "snapshots",
        checkpoints=folder / "checkpoints",
        initial_weights=start,
    )
    return folder / "gan"


@pytest.fixture(scope="module")
def gan(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conditional training that starts from the unconditional one."""
    return train(trained, tmp_path_factory.mktemp("conditional"), trained.gan)


@pytest.fixture(scope="module")
def models(trained: Trained, gan: Path) -> Path:
    """Its export."""
    out = gan.parent / "onnx"
    folders = {"classifier": trained.classifier, "judge": trained.judge}
    export.run(trained.config.export, films=trained.data, gan=gan, out=out, **folders)
    return out


def test_the_exported_files_describe_the_condition(trained: Trained, gan: Path, models: Path) -> None:
    """config.json, the metadata and model.json name the columns; the table is that of the train and judge films."""
    columns = list_columns(PARTS)
    assert json_files.read_json(gan / "config.json")["condition"] == list(columns)
    assert model_folder.read_complete_index(models)["condition"] == list(columns)
    metadata = onnx_metadata.read(models / "generator.onnx", kind="generator")
    assert metadata.condition == columns
    table = model_folder.read_condition_table(models, metadata)
    dataset = open_film_dataset(trained.data)
    rows = dataset.rows(16)[dataset.indices(16, GAN_TRAINING_SPLITS)]
    assert table is not None
    films, patients = dataset.attributes(rows), dataset.manifest["patient_id"].to_numpy(dtype=str)[rows]
    complete = ConditionTable.from_films(films, PARTS)
    assert table.digest == merge_rare_conditions(complete, films, patients).digest != complete.digest


def test_an_unconditional_export_has_no_condition(trained: Trained) -> None:
    """Its files are as before."""
    assert "condition" not in json_files.read_json(trained.onnx / "model.json")
    assert "condition" not in json_files.read_json(trained.gan / "config.json")
    metadata = onnx_metadata.read(trained.onnx / "generator.onnx", kind="generator")
    assert model_folder.read_condition_table(trained.onnx, metadata) is None
    with np.load(trained.onnx / "reference.npz") as reference:
        assert not [name for name in reference if name.startswith("condition")]


@pytest.mark.parametrize("n", [1, 3, 32])
def test_the_exported_generator_agrees_with_torch(gan: Path, models: Path, n: int) -> None:
    """Images of drawn conditions agree to 1e-4, to 2e-2 in half precision, and depend on the condition."""
    network = build_generator(json_files.read_json(gan / "config.json")["network"])
    safetensors_files.load_weights(network, gan / "generator.safetensors")
    fold_scales(network)
    round_weights_to_fp16(network)
    metadata = onnx_metadata.read(models / "generator.onnx", kind="generator")
    table = model_folder.read_condition_table(models, metadata)
    assert table is not None
    z, condition = random_streams.draw_latents(7, 0, n, network.latent), draw_conditions(table, 7, range(n))
    with torch.no_grad():
        expected = network(torch.from_numpy(z), condition=torch.from_numpy(condition)).numpy()
        without = network(torch.from_numpy(z)).numpy()
    assert np.abs(expected - without).max() > 1e-3
    for precision, tolerance in (("fp32", 1e-4), ("fp16", 2e-2)):
        session = Session.open(models / "generator.onnx", device="cpu", precision=precision)
        assert np.abs(session.run(z, condition)["image"] - expected).max() < tolerance
    with pytest.raises(ArtifactError, match="the generator takes z, condition as inputs"):
        session.run(z)


def test_another_condition_cannot_continue_a_conditional_training(trained: Trained, gan: Path, tmp_path: Path) -> None:
    """The error names the condition to set; the same condition continues, and so does an exported copy."""
    for condition in ((), ("view",)):
        with pytest.raises(
            ConfigError, match=r"train_gan\.condition: the model .* is conditional on findings, view; set"
        ):
            train(trained, tmp_path / "other", gan, condition)
    assert train(trained, tmp_path / "same", gan).is_dir()


def test_files_that_do_not_fit_each_other_are_refused(
    trained: Trained, gan: Path, models: Path, tmp_path: Path
) -> None:
    """A generator with the table of another model, and a training whose description is damaged."""
    metadata = onnx_metadata.read(models / "generator.onnx")
    with pytest.raises(ArtifactError, match=r"reference\.npz: its table of conditions is that of another model"):
        model_folder.read_condition_table(models, dataclasses.replace(metadata, condition=list_columns(["view"])))
    with pytest.raises(ArtifactError, match=r"reference\.npz: lacks the arrays condition_columns"):
        model_folder.read_condition_table(trained.onnx, metadata)
    damaged = shutil.copytree(gan, tmp_path / "gan")
    json_files.write_json(damaged / "config.json", json_files.read_json(gan / "config.json") | {"condition": []})
    folders = {"classifier": trained.classifier, "judge": trained.judge}
    with pytest.raises(ArtifactError, match=r"config\.json: network and condition disagree; train it again"):
        export.run(trained.config.export, films=trained.data, gan=damaged, out=tmp_path / "onnx", **folders)


def test_a_conditional_generator_needs_no_proposal(trained: Trained, models: Path) -> None:
    """`distill` says what to do instead."""
    with pytest.raises(ArtifactError, match="needs no proposal network; remove the stage distill from dvc"):
        distill.run(trained.config.distill, models=models)
