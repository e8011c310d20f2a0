from __future__ import annotations

import dataclasses
from pathlib import Path

from standins import write_folder

from synthcxr import contract
from synthcxr.registry import card


def test_a_card_says_what_a_reader_must_know(tmp_path: Path) -> None:
    """A card holds origin, attribution, N, interval and floor, and that it is not for diagnosis; it never changes."""
    held = contract.read(write_folder(tmp_path / "models") / "generator.onnx")
    distance = {"value": 86.04, "interval": [80.0, 92.0], "floor": 24.0, "floor_n": 323, "relative": 3.585}
    distance |= {"relative_interval": [3.2, 3.9], "n_synthetic": 1282, "n_train": 959, "n_test": 323}
    facts = card.Facts(
        index={"attribution": ["NIH Clinical Center"]},
        metrics={"n_synthetic": 1282, "n_real_test": 323, "distance": {"judge": distance | {"status": "computed"}}},
        verdict={"passed": True, "gates": [{"sentence": "The distance is small enough."}]},
        scores={},
    )
    real = dataclasses.replace(held, phantom=False, licence="Apache-2.0")
    text = card.write(real, facts)
    assert text == card.write(real, facts)
    assert text.startswith("---\n")
    assert "phantom: false" in text
    for part in ("86 [80, 92]", "24 (N 323)", "3.58 [3.2, 3.9]", "1282 / 959 / 323", "NIH Clinical Center"):
        assert part in text
    assert "not for diagnosis" in text
    assert "The distance is small enough." in text
    assert "drawn phantoms" in card.write(held, facts)


def test_a_generators_card_names_the_weak_labels(tmp_path: Path) -> None:
    """What chooses its images and what judges them may lean on few films for other findings: both lists are named."""
    held = contract.read(write_folder(tmp_path / "models") / "generator.onnx")
    weak = {"classifier": ("Hernia",), "judge": ("Edema", "Hernia")}
    text = card.write(held, card.Facts({}, {"n_real_test": 60}, {"passed": True}, {}, weak))
    assert "The classifier's thresholds, by which images are chosen and labelled, of these findings" in text
    assert "enter no gate: Hernia.\n" in text
    assert "- The judge's thresholds of these findings rest on very few films and enter no gate: Edema, Hernia." in text
    assert "Thresholds" not in card.write(held, card.Facts({}, {"n_real_test": 60}, {"passed": True}, {}))


def test_a_generators_card_says_how_much_was_memorised(tmp_path: Path) -> None:
    """Each space that was measured has its share, ratio and attack with intervals and N; others have no row."""
    held = contract.read(write_folder(tmp_path / "models") / "generator.onnx")
    pixels = {"status": "computed", "share": 0.026, "share_interval": [0.014, 0.051], "detectable": 0.0104}
    pixels |= {"median_ratio": 0.934, "median_ratio_interval": [0.9, 0.97], "n": 5000, "n_learned": 895, "n_null": 387}
    pixels |= {"attack": {"auroc": 0.537, "interval": [0.5, 0.57]}}
    privacy = {"pixels": pixels, "judge": {"status": "not computed"}, "n_flagged_in_any": 3, "status": "computed"}
    facts = card.Facts({}, {"n_real_test": 60, "privacy": privacy}, {"passed": True}, {})
    row = "| pixels | 2.6 % [1.4, 5.1] | 1 % | 0.934 [0.9, 0.97] | 0.537 [0.5, 0.57] | 5000 / 895 / 387 |"
    text = card.write(held, facts)
    assert row in text
    assert "| judge |" not in text
    assert "memorisation" not in card.write(held, card.Facts({}, {"n_real_test": 60}, {"passed": True}, {}))


def test_a_judges_card_lists_findings_with_intervals(tmp_path: Path) -> None:
    """A classifier's card gives each finding's AUROC with interval and counts, and names weak thresholds."""
    held = contract.read(write_folder(tmp_path / "models") / "judge.onnx")
    auroc = {"value": 0.81, "interval": [0.75, 0.86]}
    undefined = {"value": None, "interval": [None, None]}
    scores = {
        "Edema": {"n": 150, "n_positive": 12, "auroc": auroc, "average_precision": auroc},
        "Hernia": {"n": 150, "n_positive": 0, "auroc": undefined, "average_precision": undefined},
    }
    facts = card.Facts({}, {"n_real_test": 10}, {"passed": False}, {"judge": {"findings": scores}})
    text = card.write(dataclasses.replace(held, weak=("Hernia",)), facts)
    assert "| Edema | 0.81 [0.75, 0.86] | 0.81 [0.75, 0.86] | 150 | 12 |" in text
    assert "| Hernia | not defined  | not defined  | 150 | 0 |" in text
    assert "rest on very few films and enter no gate: Hernia" in text
    assert "Only 10 real test films" in text
