from __future__ import annotations

from typing import Any

from synthcxr.evaluation.headline_metrics import summarise

METRICS: Any = {
    "n_synthetic": 90,
    "n_real_test": 60,
    "phantom": False,
    "distance": {
        "judge": {"status": "computed", "relative": 2.5, "relative_interval": [2.0, 3.0], "value": 5.0},
        "inception": {"status": "not computed"},
    },
    "kernel": {"judge": {"value": 0.1}, "inception": {"status": "not computed"}},
    "coverage": {"judge": {"status": "not applicable (n = 10)"}, "inception": {"status": "not computed"}},
    "privacy": {"status": "not applicable (n = 9)", "pixels": {"status": "not applicable (n = 9)", "share": 0.01}},
    "labels": {"status": "computed", "total_variation": 0.2},
    "classifier": {"status": "not applicable"},
    "checks": {"failed": 0, "lines": []},
    "protocol": {"distance": "a paragraph"},
}
RUN: Any = {
    "request": {"n": 90, "seed": 1, "labels": []},
    "counts": {"requested": 90, "found": 90, "draws": 90, "acceptance_rate": 1.0},
    "model": {"name": "models/onnx", "phantom": False, "training_data": "0", "resolution": 64},
    "complete": True,
}


def test_the_summary_has_the_answers_and_the_computed_figures_only() -> None:
    """Figures of distances are by extractor; sentences, intervals and figures that were not computed are absent."""
    summary: Any = summarise(METRICS, {"passed": True, "gates": []}, RUN)
    assert {name: answer["state"] for name, answer in summary.pop("answers").items()} == {
        "shared": "open",
        "good": "open",
        "identity": "open",
    }
    assert "no gate is set on file checks" in summary.pop("headline")
    assert summary == {
        "gates_passed": True,
        "state": "open",
        "relative_distance": {"judge": 2.5},
        "kernel_distance": {"judge": 0.1},
        "label_total_variation": 0.2,
        "share_nearer_than_null": 0.01,
        "failed_checks": 0,
        "n_synthetic": 90,
        "n_real_test": 60,
    }
