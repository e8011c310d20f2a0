from __future__ import annotations

import dataclasses
from pathlib import Path

from support.stub_models import write_stub_models

from synthcxr.model_files import onnx_metadata
from synthcxr.registry import model_card


def test_a_card_says_what_a_reader_must_know(tmp_path: Path) -> None:
    """A card holds origin, attribution, N, interval and floor, and that it is not for diagnosis; it never changes."""
    held = onnx_metadata.read(write_stub_models(tmp_path / "models") / "generator.onnx")
    distance = {"value": 86.04, "interval": [80.0, 92.0], "floor": 24.0, "floor_n": 323, "relative": 3.585}
    distance |= {"relative_interval": [3.2, 3.9], "n_synthetic": 1282, "n_train": 959, "n_test": 323}
    facts = model_card.CardInputs(
        index={"attribution": ["NIH Clinical Center"]},
        metrics={"n_synthetic": 1282, "n_real_test": 323, "distance": {"judge": distance | {"status": "computed"}}},
        verdict={"passed": True, "gates": [{"sentence": "The distance is small enough."}]},
        scores={},
    )
    real = dataclasses.replace(held, phantom=False, licence="Apache-2.0")
    text = model_card.render_card(real, facts)
    assert text == model_card.render_card(real, facts)
    assert text.startswith("---\n")
    assert "phantom: false" in text
    for part in ("86 [80, 92]", "24 (N 323)", "3.58 [3.2, 3.9]", "1282 / 959 / 323", "NIH Clinical Center"):
        assert part in text
    assert "not for diagnosis" in text
    assert "The distance is small enough." in text
    assert "drawn phantoms" in model_card.render_card(held, facts)


def test_a_generators_card_names_the_weak_labels(tmp_path: Path) -> None:
    """What chooses its images and what judges them may lean on few films for other findings: both lists are named."""
    held = onnx_metadata.read(write_stub_models(tmp_path / "models") / "generator.onnx")
    weak = {"classifier": ("Hernia",), "judge": ("Edema", "Hernia")}
    text = model_card.render_card(held, model_card.CardInputs({}, {"n_real_test": 60}, {"passed": True}, {}, weak))
    assert "The classifier's thresholds, by which images are chosen and labelled, of these findings" in text
    assert "enter no gate: Hernia.\n" in text
    assert "- The judge's thresholds of these findings rest on very few films and enter no gate: Edema, Hernia." in text
    assert "Thresholds" not in model_card.render_card(
        held, model_card.CardInputs({}, {"n_real_test": 60}, {"passed": True}, {})
    )


def test_a_generators_card_says_how_much_was_memorised(tmp_path: Path) -> None:
    """Each space that was measured has its share, ratio and attack with intervals and N; others have no row."""
    held = onnx_metadata.read(write_stub_models(tmp_path / "models") / "generator.onnx")
    pixels = {"status": "computed", "share": 0.026, "share_interval": [0.014, 0.051], "detectable": 0.0104}
    pixels |= {"median_ratio": 0.934, "median_ratio_interval": [0.9, 0.97], "n": 5000, "n_learned": 895, "n_null": 387}
    pixels |= {"attack": {"auroc": 0.537, "interval": [0.5, 0.57]}, "share_low": 0.014, "expected": 0.01}
    by_chance = pixels | {"share_low": 0.009}
    privacy = {"pixels": pixels, "judge": {"status": "not computed"}, "n_flagged_in_any": 3, "status": "computed"}
    privacy |= {"features": by_chance}
    facts = model_card.CardInputs({}, {"n_real_test": 60, "privacy": privacy}, {"passed": True}, {})
    row = "| pixels | 2.6 % [1.4, 5.1] | 1 % | 0.934 [0.9, 0.97] | 0.537 [0.5, 0.57] | 5000 / 895 / 387 |"
    text = model_card.render_card(held, facts)
    assert row in text
    assert "| judge |" not in text
    assert "- In pixels, 2.6 % of the images lie nearer to a film learned from" in text
    assert "at the least 1.4 %: more than the 1 % of chance" in text
    assert "- In features" not in text
    assert "memorisation" not in model_card.render_card(
        held, model_card.CardInputs({}, {"n_real_test": 60}, {"passed": True}, {})
    )


def test_a_generators_card_says_how_much_it_covers(tmp_path: Path) -> None:
    """Coverage beside that of training films, with its interval, where it was measured."""
    held = onnx_metadata.read(write_stub_models(tmp_path / "models") / "generator.onnx")
    of_judge = {"status": "computed", "relative": 0.966, "relative_interval": [0.917, 1.01]}
    metrics = {"n_real_test": 60, "coverage": {"judge": of_judge, "inception": {"status": "not computed"}}}
    text = model_card.render_card(held, model_card.CardInputs({}, metrics, {"passed": True}, {}))
    assert "as a share of that of training films: 0.966 [0.917, 1.01] in judge features." in text
    assert "Coverage" not in model_card.render_card(
        held, model_card.CardInputs({}, {"n_real_test": 60}, {"passed": True}, {})
    )


def test_a_classifiers_card_says_how_it_ranks_test_films(tmp_path: Path) -> None:
    """Mean AUROC, within each source, and what source and view alone give; the judge, not measured so, says nothing."""
    folder = write_stub_models(tmp_path / "models")
    ranked = {"status": "computed", "n_films": 234, "n_patients": 182, "findings": ["Edema", "Mass"]}
    ranked |= {"mean_auroc": {"value": 0.724, "interval": [0.68, 0.77]}}
    ranked |= {"within_source": {"value": 0.717, "interval": [0.67, 0.76]}}
    ranked |= {"source_and_view_alone": {"value": 0.659, "interval": [0.61, 0.71]}}
    facts = model_card.CardInputs({}, {"n_real_test": 234, "classifier": ranked}, {"passed": True}, {})
    text = model_card.render_card(onnx_metadata.read(folder / "classifier.onnx"), facts)
    assert "On 234 test films of 182 patients, mean AUROC [95 %] of Edema, Mass: 0.724 [0.68, 0.77];" in text
    assert "within each source of films: 0.717 [0.67, 0.76]; source and view alone, no pixel seen, reach 0.659" in text
    assert "182 patients" not in model_card.render_card(onnx_metadata.read(folder / "judge.onnx"), facts)


def test_a_judges_card_lists_findings_with_intervals(tmp_path: Path) -> None:
    """A classifier's card gives each finding's AUROC with interval and counts, and names weak thresholds."""
    held = onnx_metadata.read(write_stub_models(tmp_path / "models") / "judge.onnx")
    auroc = {"value": 0.81, "interval": [0.75, 0.86]}
    undefined = {"value": None, "interval": [None, None]}
    scores = {
        "Edema": {"n": 150, "n_positive": 12, "auroc": auroc, "average_precision": auroc},
        "Hernia": {"n": 150, "n_positive": 0, "auroc": undefined, "average_precision": undefined},
    }
    facts = model_card.CardInputs({}, {"n_real_test": 10}, {"passed": False}, {"judge": {"findings": scores}})
    text = model_card.render_card(dataclasses.replace(held, weak=("Hernia",)), facts)
    assert "| Edema | 0.81 [0.75, 0.86] | 0.81 [0.75, 0.86] | 150 | 12 |" in text
    assert "| Hernia | not defined  | not defined  | 150 | 0 |" in text
    assert "rest on very few films and enter no gate: Hernia" in text
    assert "Only 10 real test films" in text
