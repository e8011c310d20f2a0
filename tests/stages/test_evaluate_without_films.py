"""Evaluate where no film is at hand, on a project that was really trained: only its exported models are left."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from synthcxr.config.schema import Gate
from synthcxr.data import film_dataset, findings, image_reader, images, records
from synthcxr.errors import ArtifactError
from synthcxr.evaluation.gates import Verdict
from synthcxr.evaluation.metrics import frechet
from synthcxr.evaluation.sections import classifier_auroc
from synthcxr.stages import evaluate, generate
from synthcxr.storage import json_files
from synthcxr.synthesis.runtime.onnx_session import Session

if TYPE_CHECKING:
    from conftest import Trained


@pytest.fixture(scope="module")
def synthetic(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic") / "x"
    generate.run(trained.config.generate, model=trained.onnx, out=out, model_name="trained")
    return out


def judge(trained: Trained, synthetic: Path, out: Path, *, models: Path | None = None, **changes: Any) -> Verdict:
    config = dataclasses.replace(trained.config.evaluate, n_bootstrap=10, **changes)
    folder = models or trained.onnx
    return evaluate.run(config, data=None, models=folder, dataset=synthetic, out=out, features_cache=out / "cache")


def test_a_set_made_on_request_has_no_reference(
    trained: Trained, models: Path, synthetic: Path, tmp_path: Path
) -> None:
    """What was chosen by its labels is not held against films of all kinds: distance and labels say so."""
    chosen = tmp_path / "chosen"
    shutil.copytree(synthetic, chosen)
    run = json_files.read_json(chosen / "run.json")
    json_files.write_json(chosen / "run.json", run | {"request": run["request"] | {"without": ["Hernia"]}})
    judge(trained, chosen, tmp_path, models=models)
    metrics = json_files.read_json(tmp_path / "metrics.json")
    assert metrics["distance"]["judge"]["status"] == metrics["labels"]["status"] == "not applicable (n = 0)"


@pytest.fixture
def models(trained: Trained, tmp_path: Path) -> Path:
    """The models with a reference of 60 films, as many as a comparison wants, that lie apart from one another."""
    folder = tmp_path / "models"
    shutil.copytree(trained.onnx, folder)
    held = dict(np.load(folder / "reference.npz"))
    rows = np.random.default_rng(0).normal(size=(60, held["judge_features"].shape[1])).astype(np.float16)
    np.savez(
        folder / "reference.npz", **held | {"judge_features": rows, "n_val": np.int64(60), "floor_n": np.int64(60)}
    )
    return folder


def test_the_model_carries_what_is_compared_with(
    trained: Trained, models: Path, synthetic: Path, tmp_path: Path
) -> None:
    """Distance to the val films' rows and shares against their counts; the protocol says that no film was given."""
    verdict = judge(trained, synthetic, tmp_path, models=models)
    metrics = json_files.read_json(tmp_path / "metrics.json")
    held = np.load(models / "reference.npz")
    found = metrics["distance"]["judge"]
    session = Session.open(trained.onnx / "judge.onnx", device="cpu")
    names = records.read_metadata(synthetic)["file_name"][: found["n_synthetic"]]
    pixels = np.stack([images.decode_png(png) for png in image_reader.read(synthetic, names) if png])
    rows = session.run(images.to_float(pixels))
    expected = frechet.frechet_distance(real=held["judge_features"].astype(float), synthetic=rows["features"])
    assert found["value"] == pytest.approx(expected, rel=1e-3)
    assert found["floor"] == pytest.approx(float(held["floor_judge"]), rel=1e-5)
    assert found["interval"][0] <= found["value"] <= found["interval"][1]
    share = metrics["labels"]["shares"]["No Finding"]
    assert share["real"] == pytest.approx(held["counts"][0] / held["n_val"], rel=1e-5)
    assert metrics["protocol"]["films"].startswith("No films were given: the images are held against reference.npz")
    assert metrics["checks"]["failed"] == 0
    assert (tmp_path / "curves" / "label_shares.csv").is_file()
    assert {gate.status for gate in verdict.gates} <= {"passed", "failed", "not applicable"}


def test_what_needs_films_says_so(trained: Trained, synthetic: Path, tmp_path: Path) -> None:
    """Copies, coverage and other extractors are not applicable, and so are gates on them."""
    gates = (
        Gate("privacy.pixels.share_low", max=0.01, min=None),
        Gate("coverage.judge.relative", max=None, min=0.5),
    )
    verdict = judge(trained, synthetic, tmp_path, gates=gates)
    assert [gate.status for gate in verdict.gates] == ["not applicable"] * 2
    assert all(gate.sentence.endswith("not applicable (no films: give --reference).") for gate in verdict.gates)


def test_models_without_a_reference_are_named(trained: Trained, synthetic: Path, tmp_path: Path) -> None:
    """Without films and without reference.npz, or with that of another judge, there is nothing to compare with."""
    models = shutil.copytree(trained.onnx, tmp_path / "models")
    held = dict(np.load(models / "reference.npz"))
    np.savez(models / "reference.npz", **(held | {"digest_judge": np.str_("0" * 64)}))
    with pytest.raises(ArtifactError, match="taken with another judge"):
        judge(trained, synthetic, tmp_path / "out", models=models)
    (models / "reference.npz").write_bytes(b"no arrays")
    with pytest.raises(ArtifactError, match="not the reference of a model"):
        judge(trained, synthetic, tmp_path / "out", models=models)
    (models / "reference.npz").unlink()
    with pytest.raises(ArtifactError, match="no such file, and no films were given; give --reference"):
        judge(trained, synthetic, tmp_path / "out", models=models)


def test_a_wanted_distribution_stands_beside(trained: Trained, synthetic: Path, tmp_path: Path) -> None:
    """With films and the prevalence of NIH both comparisons are made, and agreement with the classifier."""
    config = dataclasses.replace(trained.config.evaluate, n_bootstrap=10, gates=())
    evaluate.run(
        config,
        data=trained.data,
        models=trained.onnx,
        dataset=synthetic,
        out=tmp_path,
        features_cache=tmp_path / "cache",
        distribution="nih",
    )
    metrics = json_files.read_json(tmp_path / "metrics.json")
    assert metrics["labels"]["prevalence"]["name"] == "NIH ChestX-ray14, 112,120 films"
    assert 0 < metrics["labels"]["prevalence"]["total_variation"] <= 1
    assert 0 < metrics["labels"]["test"]["p_value"] <= 1
    assert metrics["agreement"]["status"] == "computed"
    n_test = len(film_dataset.open_dataset(trained.data).indices(16, ("test",)))
    assert all(entry["n_real"] <= n_test for name, entry in metrics["agreement"].items() if name != "status")


def test_the_classifier_is_ranked_on_test_films(
    trained: Trained, synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mean AUROC stands beside what source and view alone give, and within the source; all phantoms are of one."""
    monkeypatch.setattr(classifier_auroc, "MIN_POSITIVES", 5)  # so few films hold no finding fifteen times
    config = dataclasses.replace(trained.config.evaluate, n_bootstrap=20, gates=())
    evaluate.run(
        config,
        data=trained.data,
        models=trained.onnx,
        dataset=synthetic,
        out=tmp_path,
        features_cache=tmp_path / "cache",
    )
    found = json_files.read_json(tmp_path / "metrics.json")["classifier"]
    films = film_dataset.open_dataset(trained.data)
    rows = films.rows(16)[films.indices(16, ("test",))]
    assert (found["n_films"], found["n_patients"]) == (len(rows), len(set(films.patients(rows))))
    positives = (films.findings(rows) == 1).sum(axis=0)
    assert found["findings"] == [name for name, n in zip(findings.FINDINGS, positives, strict=True) if n >= 5]
    assert found["within_source"] == found["mean_auroc"]
    assert 0 <= found["mean_auroc"]["interval"][0] <= found["mean_auroc"]["value"] <= 1
