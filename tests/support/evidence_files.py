"""metrics.json, verdict.json and run.json of an evaluation, written by hand, for tests of the summary."""

from __future__ import annotations

from typing import Any, cast

from support.run_json import build_run

from synthcxr.data.findings import FINDINGS
from synthcxr.data.metrics_schema import MetricsJson, VerdictJson

SPACES = ("pixels", "judge")
GATED = ("checks.failed", "distance.judge.relative", "labels.total_variation", "privacy.*.share_low")


def make_space(share: float, low: float, high: float, **changes: Any) -> dict[str, Any]:
    """One space of the section "privacy"."""
    attack = {"auroc": 0.5, "interval": [0.45, 0.55], "low": 0.45, "n_members": 50, "n_controls": 50}
    row: dict[str, Any] = {"status": "computed", "n": 400, "n_learned": 300, "n_null": 150, "detectable": 0.02}
    row |= {"share": share, "share_interval": [low, high], "share_low": low, "expected": 0.01, "attack": attack}
    row |= {"n_below_null": 2, "threshold": 0.3, "pairs": []}
    row |= {"found": {"exact": {"share": 1.0, "interval": [0.9, 1.0], "n": 60}}}
    row |= {"duplicates": {"share": 0.01, "share_interval": [0.002, 0.03]}}
    return row | changes


def make_label_ratio(value: float | None, low: float = 0.0, high: float = 0.0, **changes: Any) -> dict[str, Any]:
    """One row of "validity" or "specificity"."""
    row: dict[str, Any] = {"status": "computed", "value": value, "interval": [low, high], "gated": True}
    row |= {"real": 0.8, "real_interval": [0.7, 0.9], "synthetic": 0.8, "synthetic_interval": [0.7, 0.9]}
    row |= {"n_real_positive": 40, "n_real_negative": 200, "n_synthetic_positive": 60, "n_synthetic_negative": 340}
    return row | {"exaggerates": False} | changes


def make_metrics(**sections: Any) -> MetricsJson:
    """Evidence without a fault; `sections` replace its sections."""
    distance = {"status": "computed", "value": 12.0, "floor": 10.0, "relative": 1.2, "relative_interval": [1.1, 1.3]}
    distance |= {"extractor": "judge", "n_synthetic": 300, "n_train": 300, "n_test": 100}
    validity = {
        "status": "computed",
        "mean": 0.9,
        "mean_interval": [0.7, 1.1],
        "Effusion": make_label_ratio(0.9, 0.6, 1.2),
    }
    metrics = {
        "n_synthetic": 400,
        "n_real_test": 100,
        "phantom": False,
        "distance": {"judge": distance},
        "coverage": {"judge": {"status": "computed", "relative": 0.9, "relative_interval": [0.8, 1.0]}},
        "similarity": {"status": "computed", "synthetic": 0.4, "real": 0.39},
        "privacy": {"status": "computed", "n_flagged_in_any": 4}
        | {name: make_space(0.01, 0.002, 0.03) for name in SPACES},
        "labels": {"status": "computed", "total_variation": 0.1, "validity": validity, "specificity": validity},
        "weights": {"status": "computed", "effective_size": 400.0, "effective_share": 1.0, "n": 400},
        "checks": {"failed": 0, "lines": [make_check("files", passed=True)]},
        "protocol": {},
        "names": {"judge": "EfficientNet-Lite0 fine-tuned on 257 films"},
    }
    return cast(MetricsJson, metrics | sections)


def make_check(name: str, *, passed: bool) -> dict[str, Any]:
    """One check of files and labels."""
    values = {"found": "0 rows" if passed else "3 of 400 rows differ", "asked": "at most 0"}
    return {"name": name, "passed": passed, "sentence": f"every {name} is right", "rows": []} | values


def make_gate(metric: str, status: str = "passed", value: float | None = 0.0, **changes: Any) -> dict[str, Any]:
    """One gate of verdict.json."""
    gate: dict[str, Any] = {"metric": metric, "value": value, "threshold": 0.5, "direction": "max", "status": status}
    reason = "not applicable (n = 10)" if value is None else status
    return gate | {"sentence": f"{metric}: {reason}.", "detail": ""} | changes


def make_verdict(*gates: dict[str, Any]) -> VerdictJson:
    """verdict.json with these gates; without any, every kind of evidence has a gate that passed."""
    rows = list(gates) or [make_gate(metric, threshold=3.0) for metric in (*GATED, "labels.validity.mean")]
    return cast(VerdictJson, {"passed": all(row["status"] != "failed" for row in rows), "gates": rows})


def make_run(*, labels: tuple[str, ...] = (), **changes: Any) -> dict[str, Any]:
    """run.json of a complete dataset."""
    model = {"training_data": "0123456789abcdef"}
    return build_run(400, model=model, request={"seed": 7, "labels": list(labels)}, date="2026-01-31") | changes


def make_validity(**rows: dict[str, Any]) -> dict[str, Any]:
    """The entry "validity" or "specificity" with these rows."""
    assert set(rows) <= set(FINDINGS)
    return {"status": "computed", "mean": 0.5, "mean_interval": [0.3, 0.7]} | rows
