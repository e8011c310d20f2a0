"""The evaluate stage refuses test films that the models have seen in training, on a trained project."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.data.leakage import REFERENCE_FILE, SPLITS_SEEN_IN_TRAINING, TrainingFilms
from synthcxr.errors import ArtifactError, DataError
from synthcxr.stages import evaluate, prepare
from synthcxr.storage import json_files

if TYPE_CHECKING:
    from conftest import Trained


def pack_phantoms(trained: Trained, out: Path, *, phantom_seed: int, split_seed: int) -> Path:
    """Pack phantoms drawn with one seed and split with another; the project has 1 for both."""
    source = dict(trained.config.prepare.sources[0]) | {"seed": phantom_seed}
    config = dataclasses.replace(trained.config.prepare, sources=(source,), seed=split_seed)
    prepare.run(config, out=out, report=lambda line: None)
    return out


def evaluate_dataset(trained: Trained, *, films: Path, dataset: Path, out: Path, models: Path) -> dict[str, Any]:
    """The metrics of an evaluation without gates."""
    config = dataclasses.replace(trained.config.evaluate, n_bootstrap=2, gates=())
    evaluate.run(config, films=films, models=models, dataset=dataset, out=out, features_cache=out / "cache")
    return dict(json_files.read_json(out / "metrics.json"))


def test_another_split_of_the_training_films_is_refused(
    trained: Trained, trained_dataset: Path, tmp_path: Path
) -> None:
    """The error counts the films of the same dataset that moved to the test split, and nothing is written."""
    films = pack_phantoms(trained, tmp_path / "cxr", phantom_seed=1, split_seed=2)
    split_in_training, split = (
        open_film_dataset(path).manifest.set_index("image_index")["split"] for path in (trained.data, films)
    )
    n_seen = int((split_in_training[split.index[split == "test"]] != "test").sum())
    assert n_seen > 0
    with pytest.raises(DataError, match=f"the models have seen {n_seen} of its test films .*another split"):
        evaluate_dataset(trained, films=films, dataset=trained_dataset, out=tmp_path / "out", models=trained.onnx)
    assert not (tmp_path / "out").exists()


def test_other_films_are_accepted_and_the_protocol_says_so(
    trained: Trained, trained_dataset: Path, tmp_path: Path
) -> None:
    """Films that no model was trained on are compared, and memorisation is not measured with them."""
    films = pack_phantoms(trained, tmp_path / "cxr", phantom_seed=2, split_seed=1)
    metrics = evaluate_dataset(trained, films=films, dataset=trained_dataset, out=tmp_path / "out", models=trained.onnx)
    assert "The models were trained on other films: none of these films" in metrics["protocol"]["films"]
    assert metrics["distance"]["judge"]["status"] == "computed"
    status = "not applicable (the generator was trained on other films)"
    assert metrics["privacy"] == {name: {"status": status} for name in ("pixels", "judge")} | {"status": status}


def test_the_test_split_of_the_training_dataset_is_accepted(
    trained: Trained, trained_dataset: Path, tmp_path: Path
) -> None:
    """The models were trained on the other splits of the same dataset."""
    metrics = evaluate_dataset(
        trained, films=trained.data, dataset=trained_dataset, out=tmp_path / "out", models=trained.onnx
    )
    assert "No model was trained or chosen on them." in metrics["protocol"]["films"]


def test_films_that_an_earlier_model_was_trained_on_are_refused(
    trained: Trained, trained_dataset: Path, tmp_path: Path
) -> None:
    """When training started from a model that was trained on the present test films, they were seen."""
    films = open_film_dataset(trained.data)
    models = shutil.copytree(trained.onnx, tmp_path / "models")
    training_films = TrainingFilms.from_dataset(films, SPLITS_SEEN_IN_TRAINING)
    with np.load(models / REFERENCE_FILE) as arrays:
        changed = dict(arrays) | training_films.to_arrays(earlier=TrainingFilms.from_dataset(films, ("test",)))
    np.savez(models / REFERENCE_FILE, **changed)
    with pytest.raises(DataError, match="in training, in another split"):
        evaluate_dataset(trained, films=trained.data, dataset=trained_dataset, out=tmp_path / "out", models=models)


def test_models_that_do_not_list_the_training_films_are_refused(
    trained: Trained, trained_dataset: Path, tmp_path: Path
) -> None:
    """With other films, models without reference.npz, or models that did not make the images, cannot be evaluated."""
    films = pack_phantoms(trained, tmp_path / "cxr", phantom_seed=2, split_seed=1)
    models = shutil.copytree(trained.onnx, tmp_path / "models")
    (models / REFERENCE_FILE).unlink()
    with pytest.raises(ArtifactError, match=r"reference.npz: no such file"):
        evaluate_dataset(trained, films=films, dataset=trained_dataset, out=tmp_path / "out", models=models)
    foreign = shutil.copytree(trained_dataset, tmp_path / "foreign")
    run = json_files.read_json(foreign / "run.json")
    json_files.write_json(foreign / "run.json", run | {"model": run["model"] | {"training_data": "f" * 16}})
    with pytest.raises(DataError, match="made from films ffffffffffffffff, which .* does not list"):
        evaluate_dataset(trained, films=films, dataset=foreign, out=tmp_path / "out", models=trained.onnx)
    assert not (tmp_path / "out").exists()
