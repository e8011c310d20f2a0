"""The evaluate stage without films, on a trained project of which only the exported models are left."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.evaluation_project import change_request

from synthcxr.config.schema import Gate
from synthcxr.data import image_reader, images
from synthcxr.data.leakage import REFERENCE_FILE
from synthcxr.data.synthetic_dataset import read_metadata
from synthcxr.errors import ArtifactError
from synthcxr.evaluation.gates import Verdict
from synthcxr.evaluation.metrics import frechet
from synthcxr.stages import evaluate
from synthcxr.storage import json_files
from synthcxr.synthesis.runtime.onnx_session import Session

if TYPE_CHECKING:
    from conftest import Trained


@pytest.fixture
def models(trained: Trained, tmp_path: Path) -> Path:
    """The models with a reference of 60 val films, enough for a comparison, whose features are random."""
    folder = tmp_path / "models"
    shutil.copytree(trained.onnx, folder)
    arrays = dict(np.load(folder / REFERENCE_FILE))
    features = np.random.default_rng(0).normal(size=(60, arrays["judge_features"].shape[1])).astype(np.float16)
    counts = {"n_val": np.int64(60), "n_labelled": np.int64(52), "floor_n": np.int64(60)}
    np.savez(folder / REFERENCE_FILE, **arrays | {"judge_features": features} | counts)
    return folder


def evaluate_dataset(trained: Trained, *, dataset: Path, out: Path, models: Path, **changes: Any) -> Verdict:
    config = dataclasses.replace(trained.config.evaluate, n_bootstrap=10, **changes)
    return evaluate.run(config, films=None, models=models, dataset=dataset, out=out, features_cache=out / "cache")


def test_images_are_compared_with_the_reference_of_the_model(
    trained: Trained, models: Path, trained_dataset: Path, tmp_path: Path
) -> None:
    """Features and label shares are compared with those in reference.npz, and the protocol says so."""
    verdict = evaluate_dataset(trained, dataset=trained_dataset, out=tmp_path, models=models)
    metrics = json_files.read_json(tmp_path / "metrics.json")
    reference = np.load(models / REFERENCE_FILE)
    row = metrics["distance"]["judge"]
    judge = Session.open(trained.onnx / "judge.onnx", device="cpu")
    names = read_metadata(trained_dataset)["file_name"][: row["n_synthetic"]]
    pixels = np.stack([images.decode_png(png) for png in image_reader.read_all(trained_dataset, names)])
    features = judge.run(images.to_float(pixels))["features"]
    expected = frechet.frechet_distance(real=reference["judge_features"].astype(float), synthetic=features)
    assert row["value"] == pytest.approx(expected, rel=1e-3)
    assert row["floor"] == pytest.approx(float(reference["floor_judge"]), rel=1e-5)
    assert row["interval"][0] <= row["value"] <= row["interval"][1]
    share = metrics["labels"]["shares"]["No Finding"]
    assert share["real"] == pytest.approx(reference["counts"][0] / reference["n_labelled"], rel=1e-5)
    assert metrics["protocol"]["films"].startswith("No films were given. The images are compared with reference.npz")
    assert metrics["checks"]["failed"] == 0
    assert (tmp_path / "curves" / "label_shares.csv").is_file()
    assert {gate.status for gate in verdict.gates} <= {"passed", "failed", "not applicable"}


def test_requested_images_are_not_compared_with_the_reference(
    trained: Trained, models: Path, trained_dataset: Path, tmp_path: Path
) -> None:
    """Images that were selected by label are not compared with films of all kinds."""
    dataset = shutil.copytree(trained_dataset, tmp_path / "requested")
    change_request(dataset, without=["Hernia"])
    evaluate_dataset(trained, dataset=dataset, out=tmp_path, models=models)
    metrics = json_files.read_json(tmp_path / "metrics.json")
    assert metrics["distance"]["judge"]["status"] == metrics["labels"]["status"]
    assert metrics["labels"]["status"] == "not applicable (the images were requested by label)"


def test_gates_on_figures_that_need_films_are_not_applicable(
    trained: Trained, trained_dataset: Path, tmp_path: Path
) -> None:
    """Memorisation and coverage need films; the sentences name the option that gives them."""
    gates = (
        Gate("privacy.pixels.share_low", max=0.01, min=None),
        Gate("coverage.judge.relative", max=None, min=0.5),
    )
    verdict = evaluate_dataset(trained, dataset=trained_dataset, out=tmp_path, models=trained.onnx, gates=gates)
    assert [gate.status for gate in verdict.gates] == ["not applicable"] * 3
    assert all(gate.sentence.endswith("not applicable (no films: give --films).") for gate in verdict.gates[:2])


def test_a_missing_or_wrong_reference_is_named(trained: Trained, trained_dataset: Path, tmp_path: Path) -> None:
    """reference.npz of another judge, a broken one, and none."""
    models = shutil.copytree(trained.onnx, tmp_path / "models")
    reference = models / REFERENCE_FILE
    np.savez(reference, **dict(np.load(reference)) | {"digest_judge": np.str_("0" * 64)})
    with pytest.raises(ArtifactError, match="computed with another judge"):
        evaluate_dataset(trained, dataset=trained_dataset, out=tmp_path / "out", models=models)
    reference.write_bytes(b"no arrays")
    with pytest.raises(ArtifactError, match="not readable as npz"):
        evaluate_dataset(trained, dataset=trained_dataset, out=tmp_path / "out", models=models)
    reference.unlink()
    with pytest.raises(ArtifactError, match="no such file, and no films were given; give --films"):
        evaluate_dataset(trained, dataset=trained_dataset, out=tmp_path / "out", models=models)


def test_an_extractor_that_is_not_installed_is_not_necessary(
    trained: Trained, models: Path, trained_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without films only the judge computes features: a gate on another extractor is not applicable, and no error."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    gate = Gate("distance.efficientnet-lite0.relative", max=2.0, min=None)
    changes = {"extractors": ("judge", "efficientnet-lite0"), "gates": (gate,)}
    verdict = evaluate_dataset(trained, dataset=trained_dataset, out=tmp_path, models=models, **changes)
    assert verdict.gates[0].status == "not applicable"
