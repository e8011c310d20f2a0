from __future__ import annotations

from typing import Any

from synthcxr.evaluation.gates import Verdict
from synthcxr.evaluation.headline_metrics import summarise

METRICS: Any = {
    "n_synthetic": 90,
    "n_real_test": 60,
    "distance": {"judge": {"relative": 2.5, "value": 5.0}, "inception": {"status": "not computed"}},
    "kernel": {"judge": {"value": 0.1}, "inception": {"status": "not computed"}},
    "coverage": {"judge": {"status": "not applicable (n = 10)"}, "inception": {"status": "not computed"}},
    "privacy": {"pixels": {"share": 0.01}, "status": "computed"},
    "labels": {"total_variation": 0.2},
    "classifier": {"status": "not applicable"},
    "checks": {"failed": 0},
    "protocol": {"distance": "a paragraph"},
}


def test_the_summary_has_the_computed_figures_only() -> None:
    """Figures of distances are by extractor; sentences, intervals and figures that were not computed are absent."""
    assert summarise(METRICS, Verdict(passed=True, gates=())) == {
        "gates_passed": True,
        "relative_distance": {"judge": 2.5},
        "kernel_distance": {"judge": 0.1},
        "label_total_variation": 0.2,
        "share_nearer_than_null": 0.01,
        "failed_checks": 0,
        "n_synthetic": 90,
        "n_real_test": 60,
    }
