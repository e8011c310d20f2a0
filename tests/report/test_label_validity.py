from __future__ import annotations

from pathlib import Path
from typing import Any

from support.report_project import METRICS, RUN, write_report

TITLE = "Do the labels mean what they say?"
RATIO: dict[str, Any] = {
    "status": "computed",
    "value": 0.81,
    "interval": [0.6, 1.02],
    "real": 0.85,
    "real_interval": [0.8, 0.9],
    "synthetic": 0.78,
    "synthetic_interval": [0.7, 0.85],
    "n_real_positive": 40,
    "n_real_negative": 120,
    "n_synthetic_positive": 60,
    "n_synthetic_negative": 500,
    "gated": True,
    "exaggerates": False,
}
NOT_APPLICABLE = RATIO | {"status": "not applicable (n = 2 films)", "value": None, "interval": None, "gated": False}
COFINDINGS: dict[str, Any] = {
    "status": "computed",
    "synthetic": 2.4,
    "real": 1.3,
    "Edema": {
        "synthetic": 6.6,
        "n_synthetic": 60,
        "real": 2.2,
        "real_by_classifier": 3.1,
        "n_real": 40,
        "companions": [{"finding": "Pleural_Thickening", "synthetic": 0.9, "real": 0.2}],
    },
}
VARIETY = {
    "status": "computed",
    "near_duplicates": 0.17,
    "near_duplicates_interval": [0.11, 0.26],
    "real_near_duplicates": 0.0,
    "correlation": 0.97,
    "real_correlation": 0.92,
    "n": 100,
    "n_compared": 100,
}
WEIGHTS = {"status": "computed", "effective_size": 6.7, "effective_share": 0.067, "n": 100}


def build_metrics(validity: dict[str, Any]) -> dict[str, Any]:
    labels = METRICS["labels"] | {"validity": validity, "specificity": validity}
    return METRICS | {"labels": labels, "cofindings": COFINDINGS, "variety": VARIETY, "weights": WEIGHTS}


def test_the_section_has_values_reasons_and_companion_numbers(tmp_path: Path) -> None:
    """Requested findings come first; exaggeration and few films are named; weights and near-duplicates are given."""
    validity = {"status": "computed", "mean": 0.7, "mean_interval": [0.5, 0.9]}
    validity |= {"Cardiomegaly": RATIO | {"exaggerates": True}, "Edema": RATIO, "Hernia": NOT_APPLICABLE}
    run = RUN | {"request": RUN["request"] | {"labels": ["Edema"]}}
    text = write_report(tmp_path, metrics=build_metrics(validity), run=run).text
    section = text[text.index(TITLE) :]
    table = section[section.index("Edema (requested)") :]
    assert "0.81 (0.6 to 1.02)" in table and "Cardiomegaly" in table
    assert "Cardiomegaly is exaggerated" in section
    assert "Hernia * not applicable (n = 2 films)" in section
    assert "Images with Edema carry 6.6 findings, films 2.2." in section
    assert "Pleural Thickening 90.0 % (20.0 %)" in section
    assert "an effective sample size of 6.7 (6.7 %)" in section
    assert "Almost identical to another image (correlation of 0.98 or more at 32 px): 17.0 %" in section


def test_a_section_that_was_not_computed_says_why(tmp_path: Path) -> None:
    """Requested images without a baseline, and results of an earlier version, which have no section."""
    status = "not applicable (requested images are compared with a baseline: give --baseline)"
    validity = {"status": status, "mean": None, "mean_interval": None}
    text = write_report(tmp_path / "a", metrics=build_metrics(validity)).text
    assert f"It is not known whether the labels mean what they say: {status}." in text
    assert TITLE not in write_report(tmp_path / "b").text
