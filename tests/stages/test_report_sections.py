"""The sections of the report on findings, classifier, copies and optional experiments."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from support.report_project import (
    CONFIG,
    GENERATOR_DIGEST,
    JUDGE_DIGEST,
    METRICS,
    PIXEL_SPACE,
    RUN,
    write_report,
)

from synthcxr.data.findings import FINDINGS, NO_FINDING

CLASSIFIER_METRICS: dict[str, Any] = {
    "agreement": {
        "status": "computed",
        "Mass": {
            "synthetic": 0.4,
            "synthetic_interval": [0.3, 0.5],
            "n_synthetic": 90,
            "real": None,
            "real_interval": None,
            "n_real": 7,
            "judged": False,
        },
        "Edema": {
            "synthetic": 0.8,
            "synthetic_interval": [0.7, 0.9],
            "n_synthetic": 60,
            "real": 0.5,
            "real_interval": [0.4, 0.6],
            "n_real": 30,
        },
    },
    "classifier": {
        "status": "computed",
        "n_films": 162,
        "mean_auroc": {"value": 0.72, "interval": [0.68, 0.77]},
        "within_source": {"value": 0.71, "interval": [0.67, 0.76]},
        "source_and_view_alone": {"value": 0.66, "interval": [0.61, 0.71]},
        "auroc": {"Edema": {"value": 0.883, "interval": [0.81, 0.94], "n_positive": 23}},
    },
    "by_finding": {
        "judge": {
            "Edema": {
                "status": "computed",
                "value": 40.0,
                "interval": [30.0, 50.0],
                "floor": 20.0,
                "relative": 2.0,
                "relative_interval": [1.5, 2.5],
                "n_synthetic": 60,
                "n_train": 80,
                "n_test": 55,
            },
            "Mass": {"status": "not applicable (n = 12)", "n_test": 12},
        },
        "efficientnet-lite0": {"status": "not computed: install it"},
    },
}


def test_classifier_and_findings_are_reported_with_n(tmp_path: Path) -> None:
    """Agreement with the requested finding first, the classifier's AUROC, and distances of findings with films."""
    run = copy.deepcopy(RUN)
    run["request"]["labels"] = ["Edema"]
    text = write_report(tmp_path, metrics=METRICS | CLASSIFIER_METRICS, run=run).text
    assert "Edema (requested) 80.0 % (70.0 to 90.0) 60 50.0 % (40.0 to 60.0) 30 Mass * 40.0 %" in text
    assert "* The threshold is based on too few val films." in text
    assert "90 – 7" in text
    assert "0.720 (95 % CI 0.680 to 0.770). Within films of one source: 0.710 (95 % CI 0.670 to 0.760)." in text
    assert "From source and view alone, without any pixel: 0.660" in text
    assert "Edema 0.883 (0.810 to 0.940) 23" in text
    assert "Edema judge: a classifier trained on chest films 40 (30 to 50) 20 2 (1.5 to 2.5) 60 / 80 / 55" in text
    assert "Mass judge: a classifier" not in text


def test_label_differences_are_tested_and_compared_with_a_prevalence(tmp_path: Path) -> None:
    """The section has p and effect size of the test, ratios with intervals, and the given prevalence."""
    metrics = copy.deepcopy(METRICS)
    ratio = {"ratio": 0.7, "ratio_interval": [0.6, 0.8]}
    shares = {name: {"reference": 0.123} | ratio for name in (NO_FINDING, *FINDINGS)}
    metrics["labels"] |= {
        "test": {"p_value": 0.004, "cramers_v": 0.15, "effect": "small", "n_permutations": 999},
        "cooccurrence": {"difference": 0.013, "correlation": 0.9},
        "prevalence": {"name": "the whole NIH", "shares": shares, "total_variation": 0.3, "jensen_shannon": 0.1},
    }
    text = write_report(tmp_path, metrics=metrics).text
    assert "p = 0.004. Effect size: small, Cramér's V 0.15" in text
    assert "1.2 (0.9 to 1.6)" in text
    assert "Compared with the whole NIH: total variation 0.3" in text
    assert "12.3 % 0.7 (0.6 to 0.8)" in text
    assert "differ by 1.3 percentage points" in text
    assert "These findings are listed but enter no gate: Hernia." in text


def test_figures_that_are_not_applicable_are_dashes_and_reasons(tmp_path: Path) -> None:
    """With too few films the page states N instead of a number, and has no nan."""
    metrics = copy.deepcopy(METRICS)
    no_values = dict.fromkeys(("value", "interval", "floor", "relative", "relative_interval"))
    metrics["distance"]["judge"] |= no_values | {"n_test": 10, "status": "not applicable (n = 10)"}
    empty: dict[str, Any] = dict.fromkeys(("total_variation", "jensen_shannon", "kl"))
    metrics["labels"] = empty | {"shares": {}, "not_judged": [], "status": "not applicable (n = 10)"}
    text = write_report(tmp_path, metrics=metrics).text
    assert "judge: a classifier trained on chest films: not applicable (n = 10)" in text
    assert "Shares of findings: not applicable (n = 10)" in text
    assert "nan" not in text.lower().split()


def test_copies_are_reported_as_numbers(tmp_path: Path) -> None:
    """Each space has its figures, the smallest detectable share is stated, and the closest pairs have no image."""
    absent = {"status": "not computed: install it"}
    privacy = {"status": "computed", "n_flagged_in_any": 1, "pixels": PIXEL_SPACE, "efficientnet-lite0": absent}
    page = write_report(tmp_path, metrics=METRICS | {"privacy": privacy})
    assert "5.0 % (1.0 to 20.0) 1 of 20 0.98 (0.9 to 1.1) exact 100.0 % 0.52 (0.47 to 0.57) 0.0 %" in page.text
    assert "would show in 4 of 5 sets of this size: 12.0 % in pixels (exact copies)." in page.text
    assert "images/00000/00000003.png 2 0.1 0.0 %" in page.text
    assert "EfficientNet-Lite0 trained on ImageNet: not computed: install it." in page.text
    assert 0 < len(page.images) <= CONFIG.n_images


def test_experiments_on_these_models_are_reported(tmp_path: Path) -> None:
    """The page has the AUROC of each arm, their differences, and whether each distance is reliable."""
    models = {"generator": GENERATOR_DIGEST, "judge": JUDGE_DIGEST}
    text = write_report(tmp_path, metrics=METRICS | {"models": models}, has_experiments=True).text
    assert "synthetic only - real only: -0.021 (-0.050 to +0.011)." in text
    assert "real only synthetic only real twice real + synthetic training images 48 48 96 96 mean" in text
    assert "Edema (23) 0.700 (0.550 to 0.660)" in text
    assert "judge: a classifier trained on chest films: the distance does not grow at every step, so it orders" in text
    assert "noise yes swirl no" in text


def test_experiments_on_other_models_are_left_out(tmp_path: Path) -> None:
    """Results of another generator and another judge are not shown; the page names the commands to run instead."""
    metrics = METRICS | {"models": {"generator": "cc" * 32, "judge": JUDGE_DIGEST}}
    metrics["distance"] = {"judge": METRICS["distance"]["judge"] | {"digest": "dd" * 32}}
    text = write_report(tmp_path, metrics=metrics, has_experiments=True).text
    assert "was not tested; run synthcxr utility ." in text
    assert "grow when films are disturbed; run synthcxr disturb ." in text
    assert "<code>synthcxr utility</code>" in (tmp_path / "results/report.html").read_text(encoding="utf-8")
