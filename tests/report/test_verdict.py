"""The top of the report: verdict, gates and warnings."""

from __future__ import annotations

from typing import Any, cast

import pytest

from synthcxr.data.metrics_schema import MetricsJson, VerdictJson
from synthcxr.report import verdict
from synthcxr.report.section import StatusLine


def make_gate(status: str, metric: str = "labels.kl", value: float | None = 0.5) -> dict[str, Any]:
    """One gate of verdict.json."""
    bound = {"metric": metric, "value": value, "threshold": 0.6, "direction": "max"}
    return bound | {"status": status, "sentence": f"{metric}: {status}."}


def make_verdict(*gates: dict[str, Any]) -> VerdictJson:
    """The content of verdict.json."""
    passed = all(gate["status"] != "failed" for gate in gates)
    return cast(VerdictJson, {"passed": passed, "gates": list(gates)})


@pytest.mark.parametrize(
    ("statuses", "state", "headline"),
    [
        (["passed"], "passed", "1 of 1 gate passed"),
        (["passed", "passed"], "passed", "2 of 2 gates passed"),
        (["passed", "not applicable"], "passed", "1 of 1 gate passed; 1 gate not applicable"),
        (["passed", "failed", "failed"], "failed", "2 of 3 gates failed"),
        (["not applicable"], "open", "No gate was applicable: this report contains no verdict"),
        ([], "open", "No gate was applicable: this report contains no verdict"),
    ],
)
def test_the_headline_counts_failed_gates_first(statuses: list[str], state: str, headline: str) -> None:
    """One failed gate fails the dataset, and a dataset without an applicable gate has not passed."""
    summary = verdict.summarise_gates(make_verdict(*map(make_gate, statuses)))
    assert (summary.state, summary.headline) == (state, headline)


def test_failed_gates_are_listed_first() -> None:
    """Failed gates precede passed ones, and those precede gates that are not applicable."""
    gates = make_gate("not applicable", "a", None), make_gate("passed", "b"), make_gate("failed", "c", 0.7)
    assert verdict.build_gates_section(make_verdict(*gates)).status_lines == (
        StatusLine("failed", "c: failed.", "c = 0.7, target at most 0.6"),
        StatusLine("passed", "b: passed.", "b = 0.5, target at most 0.6"),
        StatusLine("not applicable", "a: not applicable.", ""),
    )


def test_warnings_state_the_limits_of_the_results() -> None:
    """No films, few images, and images close to films or to each other give one warning each; nothing else does."""
    run = {"counts": {"found": 200, "requested": 200, "draws": 200}, "model": {"phantom": False}, "complete": True}
    space = {"status": "computed", "share": 0.04, "share_interval": [0.015, 0.085]}
    few_duplicates = {"share": 0.01, "share_interval": [0.002, 0.03]}
    gates = make_verdict(make_gate("passed", "distance.judge.relative"), make_gate("passed", "privacy.judge.share_low"))
    metrics: dict[str, Any] = {
        "phantom": False,
        "n_real_test": 0,
        "distance": {"judge": {"n_synthetic": 200, "n_train": 895}},
        "privacy": {
            "pixels": space | {"duplicates": few_duplicates},
            "judge": {"status": "not computed"},
            "n_flagged_in_any": 3,
        },
    }
    no_films, few_images, near_copies = verdict.list_warnings(
        run=run, metrics=cast(MetricsJson, metrics), verdict=gates
    )
    assert "so this is a first look and not a test" in no_films
    assert "from 200 images, fewer than the 895 training films" in few_images
    near_copies = near_copies.replace("\u00a0", " ")
    assert "(1 %) are close to a training film: 4.0 % (95 % CI 1.5 to 8.5) in pixels. Look at" in near_copies
    metrics |= {"n_real_test": 60, "distance": {"judge": {"n_synthetic": 895, "n_train": 895}}}
    metrics["privacy"]["pixels"] |= {
        "share_interval": [0.005, 0.085],
        "duplicates": few_duplicates | {"share_interval": [0.2, 0.3]},
    }
    (repeats,) = verdict.list_warnings(run=run, metrics=cast(MetricsJson, metrics), verdict=gates)
    assert "close to another image" in repeats
