"""The dozen figures that a table of experiments shows."""

from synthcxr.evaluation import headline_metrics
from synthcxr.evaluation.gates import Verdict

METRICS = {
    "n_synthetic": 90,
    "n_real_test": 60,
    "distance": {"judge": {"relative": 2.5, "value": 5.0}, "inception": {"status": "not computed"}},
    "kernel": {"judge": {"value": 0.1}},
    "coverage": {"judge": {"status": "not applicable (n = 10)"}},
    "privacy": {"pixels": {"share": 0.01}, "status": "computed"},
    "labels": {"total_variation": 0.2},
    "classifier": {"status": "not applicable"},
    "checks": {"failed": 0},
    "protocol": {"distance": "a paragraph"},
}


def test_figures_keep_their_extractor_and_what_is_missing_is_left_out() -> None:
    """No prose, no interval, no place for what was not computed."""
    assert headline_metrics.of(METRICS, Verdict(passed=True, gates=())) == {
        "gates_passed": True,
        "relative_distance": {"judge": 2.5},
        "kernel_distance": {"judge": 0.1},
        "label_total_variation": 0.2,
        "share_nearer_than_null": 0.01,
        "failed_checks": 0,
        "n_synthetic": 90,
        "n_real_test": 60,
    }
