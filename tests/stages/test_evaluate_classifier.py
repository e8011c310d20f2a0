"""What the evaluate stage reports about labels and the classifier, on a trained project."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.data.findings import FINDINGS
from synthcxr.data.metrics_schema import agreement_rows
from synthcxr.evaluation.sections import classifier_auroc
from synthcxr.stages import evaluate
from synthcxr.storage import json_files

if TYPE_CHECKING:
    from conftest import Trained


def evaluate_dataset(trained: Trained, *, dataset: Path, out: Path, prevalence: str | None = None) -> dict[str, Any]:
    """The metrics of an evaluation without gates."""
    evaluate.run(
        dataclasses.replace(trained.config.evaluate, n_bootstrap=20, gates=()),
        films=trained.data,
        models=trained.onnx,
        dataset=dataset,
        out=out,
        features_cache=out / "cache",
        prevalence=prevalence,
    )
    return dict(json_files.read_json(out / "metrics.json"))


def test_a_given_label_distribution_is_compared_too(trained: Trained, trained_dataset: Path, tmp_path: Path) -> None:
    """Labels are compared with test films and with the prevalence of NIH; agreement covers all test films."""
    metrics = evaluate_dataset(trained, dataset=trained_dataset, out=tmp_path, prevalence="nih")
    assert metrics["labels"]["prevalence"]["name"] == "NIH ChestX-ray14, 112,120 films"
    assert 0 < metrics["labels"]["prevalence"]["total_variation"] <= 1
    assert 0 < metrics["labels"]["test"]["p_value"] <= 1
    assert metrics["agreement"]["status"] == "computed"
    n_test = len(open_film_dataset(trained.data).indices(16, ("test",)))
    assert all(row["n_real"] <= n_test for row in agreement_rows(metrics["agreement"]).values())


def test_the_classifiers_auroc_is_that_on_test_films(
    trained: Trained, trained_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mean is over findings with enough positives; within the source it is the same, as phantoms have one."""
    monkeypatch.setattr(classifier_auroc, "MIN_POSITIVES", 5)  # no finding has 15 positives among so few films
    section = evaluate_dataset(trained, dataset=trained_dataset, out=tmp_path)["classifier"]
    films = open_film_dataset(trained.data)
    rows = films.rows(16)[films.indices(16, ("test",))]
    assert (section["n_films"], section["n_patients"]) == (len(rows), len(set(films.patients(rows))))
    n_positives = (films.findings(rows) == 1).sum(axis=0)
    assert section["findings"] == [name for name, n in zip(FINDINGS, n_positives, strict=True) if n >= 5]
    assert section["within_source"] == section["mean_auroc"]
    assert 0 <= section["mean_auroc"]["interval"][0] <= section["mean_auroc"]["value"] <= 1
