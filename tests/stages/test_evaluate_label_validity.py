"""The evaluate stage on requested images: the baseline, label validity with films and without, and weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.evaluation_project import (
    CONFIG,
    SIDE,
    EvaluationProject,
    change_request,
    write_models,
    write_synthetic_dataset,
)
from support.exported_models import build_condition_table
from support.linear_models import write_linear_generator

from synthcxr.config.schema import Gate
from synthcxr.data.condition import list_columns
from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.data.findings import FINDINGS
from synthcxr.data.leakage import REFERENCE_FILE
from synthcxr.errors import ConfigError, DataError
from synthcxr.evaluation.metrics.film_labels import FilmLabels
from synthcxr.model_files import onnx_metadata
from synthcxr.stages import evaluate
from synthcxr.storage import json_files

EFFUSION = ("Effusion",)


@pytest.fixture
def with_generator(project: EvaluationProject, tmp_path: Path) -> EvaluationProject:
    """The project with a generator among its models."""
    models = write_models(tmp_path / "models")
    write_linear_generator(models, side=SIDE)
    return dataclasses.replace(project, models=models)


def request_effusion(project: EvaluationProject, *, is_own_generator: bool = True) -> Path:
    """A dataset requested as Effusion, of the project's generator or of another one."""
    dataset = write_synthetic_dataset(project.root / "requested", project.models, requested=EFFUSION)
    if is_own_generator:
        set_generator(dataset, onnx_metadata.read(project.models / "generator.onnx").digest)
    return dataset


def set_generator(dataset: Path, digest: str) -> None:
    run = json_files.read_json(dataset / "run.json")
    run["model"]["digests"]["generator"] = digest
    json_files.write_json(dataset / "run.json", run)


def run_evaluate(project: EvaluationProject, dataset: Path, **arguments: Any) -> dict[str, Any]:
    """metrics.json of an evaluation with films, unless `films` replaces them."""
    evaluate.run(
        dataclasses.replace(CONFIG, gates=arguments.pop("gates", ())),
        **{"films": project.films, "models": project.models, **arguments},
        dataset=dataset,
        out=project.root / "results",
        features_cache=project.root / "cache",
    )
    return project.read_json()


def test_an_unconditional_dataset_needs_no_baseline(project: EvaluationProject) -> None:
    """Every label of the dataset is compared with the other images, and --baseline is refused."""
    metrics = run_evaluate(project, project.synthetic)
    rows = metrics["labels"]["validity"]
    labels = {finding: rows[finding]["n_synthetic_positive"] for finding in FINDINGS}
    assert all(labels[finding] + rows[finding]["n_synthetic_negative"] == 90 for finding in FINDINGS)
    assert rows["Effusion"]["n_real_positive"] == 54 and rows["Effusion"]["n_real_negative"] == 6
    assert "against the other images of the dataset" in metrics["protocol"]["validity"]
    assert metrics["weights"] == {"status": "computed", "effective_size": 90, "effective_share": 1, "n": 90}
    with pytest.raises(ConfigError, match="was not requested by label and needs no baseline"):
        run_evaluate(project, project.synthetic, baseline=project.synthetic)


def test_the_baseline_of_requested_images_is_drawn_from_their_generator(with_generator: EvaluationProject) -> None:
    """As many images as the dataset has; a second run reads them from the cache and gives the same numbers."""
    dataset = request_effusion(with_generator)
    metrics = run_evaluate(with_generator, dataset)
    assert "baseline (90 images of the same model, drawn without a request" in metrics["protocol"]["validity"]
    row = metrics["labels"]["validity"]["Effusion"]
    assert 0 < row["n_synthetic_negative"] < 90
    assert run_evaluate(with_generator, dataset)["labels"]["validity"] == metrics["labels"]["validity"]


def test_without_the_generator_of_the_images_validity_is_not_applicable(with_generator: EvaluationProject) -> None:
    """Images of another generator have no baseline: the status says what to give, and a gate is not applicable."""
    dataset = request_effusion(with_generator, is_own_generator=False)
    gates = (Gate("labels.validity.Effusion.value", max=None, min=0.5),)
    status = run_evaluate(with_generator, dataset, gates=gates)["labels"]["validity"]["status"]
    assert "give --models with the generator that made them, or --baseline" in status
    assert with_generator.read_json("verdict.json")["gates"][0]["status"] == "not applicable"


def test_a_dataset_can_be_the_baseline(project: EvaluationProject) -> None:
    """The unconditional dataset of the same model gives the negatives; other datasets are refused."""
    dataset = request_effusion(project, is_own_generator=False)
    metrics = run_evaluate(project, dataset, baseline=project.synthetic)
    assert "90 images of the dataset given as --baseline" in metrics["protocol"]["validity"]
    assert metrics["labels"]["validity"]["status"] == "computed"
    other = write_synthetic_dataset(project.root / "other", project.models)
    set_generator(other, "cd" * 32)
    with pytest.raises(DataError, match="--baseline: .* was generated with another generator than"):
        run_evaluate(project, dataset, baseline=other)
    change_request(other, without=["Hernia"])
    with pytest.raises(DataError, match="--baseline: .* was requested by label"):
        run_evaluate(project, dataset, baseline=other)


def test_the_baseline_of_a_conditional_generator_has_the_requested_view(
    project: EvaluationProject, tmp_path: Path
) -> None:
    """It draws conditions with that view from the dataset's own table; of another table there is no baseline."""
    models = write_models(tmp_path / "models")
    table = build_condition_table(("findings", "view"))
    write_linear_generator(models, side=SIDE, condition=list_columns(table.parts))
    with np.load(models / REFERENCE_FILE, allow_pickle=False) as arrays:
        np.savez(models / REFERENCE_FILE, **arrays, **table.to_arrays())
    project = dataclasses.replace(project, models=models)
    dataset = request_effusion(project)
    rows = {}
    for view in ("PA", "AP"):
        run = json_files.read_json(dataset / "run.json")
        run["model"]["digests"]["condition table"] = table.digest
        run["request"] |= {"method": "conditional", "attributes": {"view": view, "sex": None, "age": None}}
        json_files.write_json(dataset / "run.json", run)
        rows[view] = run_evaluate(project, dataset)["labels"]["validity"]["Effusion"]
    assert rows["PA"] != rows["AP"] and all(0 < row["n_synthetic_negative"] < 90 for row in rows.values())
    run["model"]["digests"]["condition table"] = "ab" * 32
    json_files.write_json(dataset / "run.json", run)
    assert "give --models" in run_evaluate(project, dataset)["labels"]["validity"]["status"]


def write_reference(project: EvaluationProject, *, has_auroc: bool) -> None:
    """A reference.npz of the test films, with or without what label validity needs."""
    films, judge = open_film_dataset(project.films), project.open_judge()
    features = project.judge_features_of_films(("test",))
    pixels, rows = films.images(SIDE, ("test",))
    arrays = dict(np.load(project.models / REFERENCE_FILE))
    arrays |= {"judge_features": features, "counts": np.ones(15), "n_val": 60, "floor_judge": 1.0, "floor_n": 60}
    arrays["digest_judge"] = np.str_(judge.digest)
    if has_auroc:
        logits = judge.run((pixels[:, None] / np.float32(127.5) - 1).astype(np.float32))["logits"]
        labels, patients = films.findings(rows), films.patients(rows)
        arrays |= FilmLabels.measure(
            logits=logits, labels=labels, patients=patients, n_bootstrap=50, rng=np.random.default_rng(0)
        ).to_arrays()
    np.savez(project.models / REFERENCE_FILE, **arrays)


def test_without_films_the_reference_has_the_auroc(with_generator: EvaluationProject) -> None:
    """The AUROCs of the films are those that were stored, and agreement and variety are computed."""
    dataset = request_effusion(with_generator)
    expected = run_evaluate(with_generator, dataset)["labels"]["validity"]["Effusion"]
    write_reference(with_generator, has_auroc=True)
    metrics = run_evaluate(with_generator, dataset, films=None)
    row = metrics["labels"]["validity"]["Effusion"]
    assert (row["real"], row["synthetic"]) == pytest.approx((expected["real"], expected["synthetic"]), rel=1e-4)
    assert row["n_real_positive"] == 54
    assert "the val films of the model, from reference.npz" in metrics["protocol"]["validity"]
    assert metrics["agreement"]["status"] == metrics["variety"]["status"] == "computed"
    assert metrics["agreement"]["Effusion"]["n_real"] == 0
    assert metrics["cofindings"]["real"] == pytest.approx(0.9)


def test_an_older_reference_has_no_validity(with_generator: EvaluationProject) -> None:
    """A model that was exported before says so; everything else is computed."""
    write_reference(with_generator, has_auroc=False)
    metrics = run_evaluate(with_generator, request_effusion(with_generator), films=None)
    assert "export the models again" in metrics["labels"]["validity"]["status"]
    assert metrics["cofindings"]["real"] is None


def test_weights_count_in_the_effective_sample_size(project: EvaluationProject) -> None:
    """Three weights of 50 among 90 images leave few effective images."""
    dataset = write_synthetic_dataset(project.root / "weighted", project.models)
    table = (dataset / "metadata.csv").read_text()
    (dataset / "metadata.csv").write_text(table.replace(",1.000000,", ",50.00000,", 3))
    weights = run_evaluate(project, dataset)["weights"]
    assert weights["effective_size"] == pytest.approx((3 * 50 + 87) ** 2 / (3 * 2500 + 87), rel=1e-4)


def test_repeated_images_are_near_duplicates(project: EvaluationProject) -> None:
    """Four images of 90 are the same picture, which no film repeats."""
    picture = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    dataset = write_synthetic_dataset(
        project.root / "repeated", project.models, replacements=dict.fromkeys((3, 30, 50, 80), picture)
    )
    variety = run_evaluate(project, dataset)["variety"]
    assert variety["near_duplicates"] >= 4 / 90 - 1e-6
    assert variety["n_compared"] == 60
