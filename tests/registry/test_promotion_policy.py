from __future__ import annotations

import re
from typing import Any

import pytest

from synthcxr.registry import promotion_policy
from synthcxr.registry.promotion_policy import ALIKE, BETTER, WORSE, Decision, EvaluatedVersion


def make_version(
    relative: float, *, spread: float = 0.5, films: str = "f", passed: bool = True, **sections: Any
) -> EvaluatedVersion:
    """Return evidence with one distance, its interval, and one gate."""
    distance = {"relative": relative, "relative_interval": [relative - spread, relative + spread], "digest": "d"}
    gate = {"metric": "m", "value": relative, "threshold": 9.0, "direction": "max"}
    gate |= {"status": "passed" if passed else "failed"}
    metrics = {"n_real_test": 60, "distance": {"judge": distance | sections.pop("distance", {})}} | sections
    return EvaluatedVersion(films, metrics, {"passed": passed, "gates": [gate]})


@pytest.mark.parametrize(
    ("candidate", "champion", "result"),
    [(3.0, 3.9, ALIKE), (3.0, 4.1, BETTER), (4.1, 3.0, WORSE), (4.0, 3.0, ALIKE)],
)
def test_only_disjoint_intervals_decide(candidate: float, champion: float, result: str) -> None:
    """A lower distance is better if the intervals are disjoint; if they overlap, neither is better."""
    (row,) = promotion_policy.compare(make_version(candidate), make_version(champion))
    assert (row.metric, row.result) == ("distance.judge.relative", result)
    assert row.as_dict()["finding"] == result
    decision = promotion_policy.decide(make_version(candidate), make_version(champion))
    assert decision.promote is (result != WORSE)


def test_each_figure_has_its_own_better_direction() -> None:
    """Higher coverage is better and a higher share of near copies is worse; one worse figure is enough to refuse."""
    sections = {
        "coverage": {"judge": {"relative": 0.9, "relative_interval": [0.8, 1.0]}},
        "privacy": {"pixels": {"share": 0.3, "share_interval": [0.2, 0.4]}, "status": "computed"},
    }
    champion_sections = {
        "coverage": {"judge": {"relative": 0.5, "relative_interval": [0.4, 0.6]}},
        "privacy": {"pixels": {"share": 0.0, "share_interval": [0.0, 0.1]}, "status": "computed"},
    }
    candidate, champion = make_version(3, **sections), make_version(3, **champion_sections)
    assert {row.metric: row.result for row in promotion_policy.compare(candidate, champion)} == {
        "distance.judge.relative": ALIKE,
        "coverage.judge.relative": BETTER,
        "privacy.pixels.share": WORSE,
    }
    decision = promotion_policy.decide(candidate, champion)
    assert not decision.promote
    assert "worse than the champion: privacy.pixels.share 0.3 (0.2 to 0.4), the champion's 0 (0 to 0.1)" in decision.why


@pytest.mark.parametrize(
    ("candidate", "line"),
    [
        (make_version(3, films="others"), "cannot be compared with the champion: different films"),
        (make_version(3, n_real_test=50), "different number of test films"),
        (make_version(3, distance={"digest": "e"}), "different judge"),
        (make_version(3, distance={"relative_interval": None}), "not computed for the candidate"),
        (make_version(3, passed=False), r"^failed: m 3 \(max 9\)$"),
    ],
)
def test_incomparable_candidate_is_refused(candidate: EvaluatedVersion, line: str) -> None:
    """A failed gate, or figures of other films or extractors, refuse a candidate, and the reason says which."""
    decision = promotion_policy.decide(candidate, make_version(3))
    assert not decision.promote
    assert re.search(line, decision.why)


def test_first_version_needs_only_its_gates() -> None:
    """Without a champion nothing is compared."""
    assert promotion_policy.decide(make_version(3), None) == Decision(True, "passed: m 3 (max 9)")
    assert not promotion_policy.decide(make_version(3, passed=False), None).promote


@pytest.mark.parametrize(
    ("statuses", "passed", "decision"),
    [
        (["passed", "not applicable"], True, Decision(True, "passed: m 1 (max 2)")),
        (["not applicable"], True, Decision(False, "no gate was applicable")),
        ([], True, Decision(False, "no gate was applicable")),
        (["passed", "failed"], False, Decision(False, "failed: m 1 (max 2)")),
        (["passed"], False, Decision(False, "failed: the verdict names no gate")),
    ],
)
def test_promotion_needs_a_passed_gate_and_no_failed_one(statuses: list[str], passed: bool, decision: Decision) -> None:
    """No gate may have failed, and at least one must have been applicable and passed."""
    gates = [
        {"metric": "m", "value": 1.0, "threshold": 2.0, "direction": "max", "status": status} for status in statuses
    ]
    assert promotion_policy.decide_by_gates({"passed": passed, "gates": gates}) == decision
