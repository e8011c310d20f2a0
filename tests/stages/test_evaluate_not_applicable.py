"""What the evaluate stage reports when films, images, thresholds, packages or models do not allow a figure."""

from __future__ import annotations

import dataclasses
import sys

import pytest
from support.evaluation_project import (
    EvaluationProject,
    pack_films,
    write_labelling_model,
    write_models,
    write_synthetic_dataset,
)

from synthcxr.config.schema import Gate
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ConfigError


def test_few_real_films_make_comparisons_not_applicable(project: EvaluationProject) -> None:
    """Under 50 test films nothing is compared, the gates give the n, and only the checks can still fail."""
    films = pack_films(project.root / "films", n_test=10)
    synthetic = write_synthetic_dataset(project.root / "synthetic", project.models, films=films)
    project = dataclasses.replace(project, films=films, synthetic=synthetic)
    verdict = project.evaluate()
    assert verdict.passed
    assert [gate.status for gate in verdict.gates] == ["passed"] + ["not applicable"] * 3
    assert all(gate.sentence.endswith("not applicable (n = 10).") for gate in verdict.gates[1:])
    metrics = project.read_json()
    assert metrics["labels"]["shares"] == {}
    assert metrics["distance"]["judge"]["value"] is None
    assert metrics["distance"]["judge"]["n_test"] == 10
    assert metrics["coverage"]["judge"]["status"] == "not applicable (n = 10)"
    assert metrics["privacy"]["pixels"]["status"] == "not applicable (n = 16)"


def test_few_images_make_the_distance_not_applicable(project: EvaluationProject) -> None:
    """20 images are too few for a distance, but not for label shares with their wide intervals."""
    verdict = project.evaluate(synthetic=write_synthetic_dataset(project.root / "few", project.models, n=20))
    assert [gate.status for gate in verdict.gates][1:] == ["not applicable", "passed", "passed"]
    assert verdict.gates[1].sentence.endswith("not applicable (n = 20).")


def test_findings_with_weak_thresholds_enter_no_gate(project: EvaluationProject) -> None:
    """A finding whose threshold rests on too few val films is listed and marked, and gates on it do not apply."""
    project = dataclasses.replace(project, models=write_models(project.root / "models", weak=("Hernia", "Mass")))
    gates = (
        Gate("labels.shares.Hernia.ratio", max=1.0, min=None),
        Gate("agreement.Hernia.synthetic", max=None, min=0.0),
        Gate("by_finding.judge.Hernia.relative", max=1e9, min=None),
    )
    assert [gate.status for gate in project.evaluate(gates=gates).gates][:3] == ["not applicable"] * 3
    metrics = project.read_json()
    for section in (metrics["agreement"], metrics["by_finding"]["judge"], metrics["labels"]["shares"]):
        assert {name for name in FINDINGS if not section[name]["judged"]} == {"Mass", "Hernia"}
    assert metrics["labels"]["not_judged"] == ["Mass", "Hernia"]


def test_labels_of_another_classifier_are_not_compared(project: EvaluationProject) -> None:
    """Without the classifier that labelled the images its label divergence is not applicable, with the reason."""
    models = write_models(project.root / "models")
    write_labelling_model(models / "classifier.onnx", "classifier", seed=3)
    verdict = dataclasses.replace(project, models=models).evaluate()
    metrics = project.read_json()
    for section in (metrics["agreement"], metrics["classifier"], metrics["labels"]["classifier"]):
        assert section["status"].startswith("not applicable (the classifier that labelled the images")
    assert (verdict.gates[-1].metric, verdict.gates[-1].status) == ("labels.classifier.kl", "not applicable")


def test_an_unavailable_extractor_is_reported_and_a_gate_on_it_is_an_error(
    project: EvaluationProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its package, the rows of EfficientNet-Lite0 say what to install; with a gate on it, nothing runs."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    extractors = ("judge", "efficientnet-lite0")
    for section, key in (("distance", "relative"), ("coverage", "relative"), ("privacy", "share")):
        gate = Gate(f"{section}.efficientnet-lite0.{key}", max=4.0, min=None)
        with pytest.raises(ConfigError, match=r"evaluate.gates\[0\]: .* cannot be computed here: install it with"):
            project.evaluate(extractors=extractors, gates=(gate,))
    assert not list(project.root.iterdir())
    assert project.evaluate(extractors=extractors).passed
    for section in ("distance", "coverage", "privacy"):
        status = project.read_json()[section]["efficientnet-lite0"]["status"]
        assert status.startswith("not computed: install it with `pip install 'synthcxr[train]'`")
