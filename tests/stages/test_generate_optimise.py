"""`synthcxr generate --method optimise`: the same guarantees as with any other method."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from support.default_request import DEFAULT_REQUEST
from support.exported_models import write_exported_models
from support.file_digests import digest_dataset

from synthcxr.data import random_streams
from synthcxr.data.synthetic_dataset import STEPS_COLUMN, read_image_records, read_metadata
from synthcxr.errors import DataError
from synthcxr.networks import latent_gradient
from synthcxr.stages import generate
from synthcxr.storage import json_files
from synthcxr.writers.journal import Journal

pytestmark = pytest.mark.slow

CONFIG = dataclasses.replace(DEFAULT_REQUEST, n=20, labels=("Mass",), method="optimise", max_draws=400)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_exported_models(tmp_path_factory.mktemp("models") / "onnx", rate=0.02)


def run_generate(model: Path, out: Path, *, append: bool = False, **changes: object) -> generate.GenerateReport:
    config = dataclasses.replace(CONFIG, **changes)  # type: ignore[arg-type]
    return generate.run(config, model=model, out=out, model_name="exported", append=append)


@pytest.fixture(scope="module")
def dataset(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("optimised") / "dataset"
    run_generate(model, out)
    return out


def test_an_optimised_dataset_records_method_steps_and_latents(dataset: Path) -> None:
    """metadata.csv has the steps of each image, latents.npy the optimised latents, run.json the method and torch."""
    table, run = read_metadata(dataset), json_files.read_json(dataset / "run.json")
    assert set(table["requested"]) == {"Mass"} and table[STEPS_COLUMN].max() > 0
    assert run["request"]["method"] == "optimise" and run["versions"]["torch"] == latent_gradient.torch_version()
    assert run["counts"]["runs"] > run["counts"]["draws"] >= 20
    latents = np.load(dataset / "latents.npy", allow_pickle=False)
    size = latents.shape[1]
    starts = np.concatenate([random_streams.draw_latents(1, int(index), 1, size) for index in table["index"]])
    np.testing.assert_allclose(np.linalg.norm(latents, axis=1), np.sqrt(size), rtol=1e-5)
    assert (latents != starts).any(axis=1).all()
    assert read_image_records(dataset)[0].steps == table[STEPS_COLUMN].iloc[0]


def test_resuming_and_extending_give_the_bytes_of_one_run(
    model: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run interrupted after one block resumes, and a finished one is extended, with the bytes of a single run."""
    append, n_lines = Journal.append, []

    def append_and_interrupt(journal: Journal, line: object) -> None:
        append(journal, line)  # type: ignore[arg-type]
        n_lines.append(1)
        raise KeyboardInterrupt

    out = tmp_path / "dataset"
    monkeypatch.setattr(Journal, "append", append_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_generate(model, out)
    monkeypatch.undo()
    assert n_lines and out.with_name("dataset.partial").is_dir()
    run_generate(model, out)
    assert digest_dataset(out) == digest_dataset(dataset)
    run_generate(model, out, n=40, append=True)
    run_generate(model, tmp_path / "direct", n=40)
    assert digest_dataset(out) == digest_dataset(tmp_path / "direct")


def test_another_method_cannot_continue_a_dataset(model: Path, dataset: Path) -> None:
    """A dataset of method optimise is not continued by rejection."""
    with pytest.raises(DataError, match="method optimise, not reject"):
        run_generate(model, dataset, method="reject")


def test_excluded_findings_are_absent(model: Path, tmp_path: Path) -> None:
    """No image shows an excluded finding, and run.json lists the excluded findings."""
    out = tmp_path / "dataset"
    run_generate(model, out, method="reject", labels=(), without=("Mass", "Edema"), n=30)
    label_sets = read_metadata(out)["Finding Labels"].str.split("|")
    assert not label_sets.map(lambda names: {"Mass", "Edema"} & set(names)).any()
    assert json_files.read_json(out / "run.json")["request"]["without"] == ["Mass", "Edema"]
