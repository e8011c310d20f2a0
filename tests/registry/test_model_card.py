from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from support.evidence_files import make_metrics, make_run, make_verdict
from support.stub_models import write_stub_models

from synthcxr.data.condition import list_columns
from synthcxr.model_files import onnx_metadata
from synthcxr.model_files.onnx_metadata import ModelMetadata
from synthcxr.registry.model_card import CardInputs, render_card


@pytest.fixture
def metadata(tmp_path: Path) -> dict[str, ModelMetadata]:
    """The metadata of three stub models by kind."""
    folder = write_stub_models(tmp_path / "models")
    return {kind: onnx_metadata.read(folder / f"{kind}.onnx") for kind in ("generator", "classifier", "judge")}


def make_inputs(**sections: Any) -> CardInputs:
    """Return inputs with these sections of metrics.json and a passed verdict."""
    return CardInputs({}, {"n_real_test": 60} | sections, {"passed": True}, {})


def test_card_states_origin_evidence_and_purpose(metadata: dict[str, ModelMetadata]) -> None:
    """A card has origin, attribution, N, interval and floor, says that it is not for diagnosis, and is reproducible."""
    distance = {"value": 86.04, "interval": [80.0, 92.0], "floor": 24.0, "floor_n": 323, "relative": 3.585}
    distance |= {"relative_interval": [3.2, 3.9], "n_synthetic": 1282, "n_train": 959, "n_test": 323}
    inputs = CardInputs(
        index={"attribution": ["NIH Clinical Center"]},
        metrics={"n_synthetic": 1282, "n_real_test": 323, "distance": {"judge": distance | {"status": "computed"}}},
        verdict={"passed": True, "gates": [{"sentence": "The distance is small enough."}]},
        scores={},
    )
    real = dataclasses.replace(metadata["generator"], phantom=False, licence="Apache-2.0")
    text = render_card(real, inputs)
    assert text == render_card(real, inputs)
    assert text.startswith("---\n")
    assert "phantom: false" in text
    row = "| Fréchet, judge: a classifier trained on chest films | 86 (80 to 92) | 24 (N 323) | 3.58 (3.2 to 3.9)"
    for part in (row, "- NIH Clinical Center", "not for diagnosis", "- The distance is small enough."):
        assert part in text
    assert "drawn phantoms" in render_card(metadata["generator"], inputs)


def test_generator_card_names_what_it_is_conditioned_on(metadata: dict[str, ModelMetadata]) -> None:
    """The card of a conditional generator names the parts of its condition, and no task of unconditional ones."""
    columns = list_columns(("findings", "view"))
    conditional = render_card(dataclasses.replace(metadata["generator"], condition=columns), make_inputs())
    assert "from random latents and a condition (findings and view), with" in conditional
    assert "pipeline_tag" not in conditional
    unconditional = render_card(metadata["generator"], make_inputs())
    assert "from random latents, with" in unconditional
    assert "pipeline_tag: unconditional-image-generation" in unconditional


def test_generator_card_names_weak_labels(metadata: dict[str, ModelMetadata]) -> None:
    """The findings with weak thresholds of the classifier and of the judge are listed separately."""
    weak = {"classifier": ("Hernia",), "judge": ("Edema", "Hernia")}
    text = render_card(metadata["generator"], dataclasses.replace(make_inputs(), weak=weak))
    end = "for these findings are based on fewer than 3 positive val films, and the findings enter no gate:"
    assert f"- The classifier's thresholds, which select and label images, {end} Hernia.\n" in text
    assert f"- The judge's thresholds {end} Edema, Hernia.\n" in text
    assert "thresholds" not in render_card(metadata["generator"], make_inputs())


def test_generator_card_states_memorisation(metadata: dict[str, ModelMetadata]) -> None:
    """Each measured space has share, ratio and attack with intervals and N; more near copies than chance is a limit."""
    pixels = {"status": "computed", "share": 0.026, "share_interval": [0.014, 0.051], "detectable": 0.0104}
    pixels |= {"median_ratio": 0.934, "median_ratio_interval": [0.9, 0.97], "n": 5000, "n_learned": 895, "n_null": 387}
    pixels |= {"attack": {"auroc": 0.537, "interval": [0.5, 0.57]}, "share_low": 0.014, "expected": 0.01}
    privacy = {"pixels": pixels, "judge": {"status": "not computed"}, "n_flagged_in_any": 3, "status": "computed"}
    privacy |= {"features": pixels | {"share_low": 0.009}}
    text = render_card(metadata["generator"], make_inputs(privacy=privacy))
    row = "| pixels | 2.6 % (1.4 to 5.1) | 1 % | 0.934 (0.9 to 0.97) | 0.537 (0.5 to 0.57) | 5,000 / 895 / 387 / 0 |"
    assert row in text
    assert "| judge |" not in text
    assert "- In pixels, 2.6 % of the images (95 % CI from 1.4 %) are closer to a training film" in text
    assert "more than the 1 % expected by chance" in text
    assert "- In features" not in text
    assert "memorisation" not in render_card(metadata["generator"], make_inputs())


def test_generator_card_states_use_for_training(metadata: dict[str, ModelMetadata]) -> None:
    """utility.json of the same generator is in the summary; that of another one is not."""
    difference = {"value": 0.008, "interval": [-0.006, 0.022]}
    utility = {"generator": "g", "differences": {"real + synthetic - real twice": difference}}
    metrics = make_metrics(models={"generator": "g", "classifier": "c", "judge": "j"})
    inputs = CardInputs({}, metrics, make_verdict(), {}, run=make_run(), utility=utility)
    text = render_card(metadata["generator"], inputs)
    assert "Use for training: change of mean AUROC: real + synthetic - real twice +0.008 (-0.006 to +0.022)" in text
    other = dataclasses.replace(inputs, utility=utility | {"generator": "other"})
    assert "Use for training: not measured" in render_card(metadata["generator"], other)


def test_generator_card_states_coverage(metadata: dict[str, ModelMetadata]) -> None:
    """Measured coverage is stated relative to that of training films, with its interval."""
    judge = {"status": "computed", "relative": 0.966, "relative_interval": [0.917, 1.01]}
    inputs = make_inputs(coverage={"judge": judge, "inception": {"status": "not computed"}})
    text = render_card(metadata["generator"], inputs)
    assert "relative to that of training films: 0.966 (95 % CI 0.917 to 1.01) in features of the judge (" in text
    assert "Coverage" not in render_card(metadata["generator"], make_inputs())


def test_classifier_card_states_auroc_on_test_films(metadata: dict[str, ModelMetadata]) -> None:
    """Only the classifier's card has the mean AUROC, within each source, and of source and view alone."""
    section = {"status": "computed", "n_films": 234, "n_patients": 182, "findings": ["Edema", "Mass"]}
    section |= {"mean_auroc": {"value": 0.724, "interval": [0.68, 0.77]}}
    section |= {"within_source": {"value": 0.717, "interval": [0.67, 0.76]}}
    section |= {"source_and_view_alone": {"value": 0.659, "interval": [0.61, 0.71]}}
    inputs = make_inputs(classifier=section)
    text = render_card(metadata["classifier"], inputs)
    for part in (
        "Mean AUROC on 234 test films of 182 patients (Edema, Mass): 0.724 (95 % CI 0.68 to 0.77).",
        "Within each source of films: 0.717 (95 % CI 0.67 to 0.76).",
        "From source and view alone, without any pixel: 0.659 (95 % CI 0.61 to 0.71).",
    ):
        assert part in text
    assert "182 patients" not in render_card(metadata["judge"], inputs)


def test_judge_card_lists_scores_by_finding(metadata: dict[str, ModelMetadata]) -> None:
    """A judge's card has each finding's AUROC with interval and counts, weak thresholds, and too few test films."""
    auroc = {"value": 0.81, "interval": [0.75, 0.86]}
    undefined = {"value": None, "interval": [None, None]}
    scores = {
        "Edema": {"n": 150, "n_positive": 12, "auroc": auroc, "average_precision": auroc},
        "Hernia": {"n": 150, "n_positive": 0, "auroc": undefined, "average_precision": undefined},
    }
    inputs = CardInputs({}, {"n_real_test": 10}, {"passed": False}, {"judge": {"findings": scores}})
    text = render_card(dataclasses.replace(metadata["judge"], weak=("Hernia",)), inputs)
    assert "| Edema | 0.81 (0.75 to 0.86) | 0.81 (0.75 to 0.86) | 150 | 12 |" in text
    assert "| Hernia | not defined | not defined | 150 | 0 |" in text
    assert "based on fewer than 3 positive val films, and the findings enter no gate: Hernia" in text
    assert "Only 10 real test films" in text


def test_generator_card_states_label_validity(metadata: dict[str, ModelMetadata]) -> None:
    """The card has validity and specificity of each measured label, and names exaggeration and small weights."""
    row = {"status": "computed", "value": 1.6, "interval": [1.2, 2.0], "real": 0.7, "synthetic": 0.82}
    row |= {"n_real_positive": 12, "n_synthetic_positive": 60, "gated": False, "exaggerates": True}
    section = {"status": "computed", "mean": None, "Edema": row, "Mass": row | {"value": None, "exaggerates": False}}
    weights = {"status": "computed", "effective_size": 2.0, "effective_share": 0.02, "n": 100}
    inputs = make_inputs(labels={"validity": section, "specificity": section}, weights=weights)
    card = render_card(metadata["generator"], inputs)
    assert "| Edema (not gated) | 1.6 (1.2 to 2) | 1.6 (1.2 to 2) | 0.7 | 0.82 | 12 / 60 |" in card
    assert "| Mass" not in card
    assert "more obvious on the images than on films: Edema." in card
    assert "effective sample size of 2 of 100 images" in card
