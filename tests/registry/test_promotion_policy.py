from __future__ import annotations

from typing import Any

import pytest

from synthcxr.registry import promotion_policy
from synthcxr.registry.promotion_policy import ALIKE, BETTER, WORSE, Evaluated


def evaluated(relative: float, *, spread: float = 0.5, films: str = "f", passed: bool = True, **more: Any) -> Evaluated:
    """Evidence with one distance, its interval, and one gate."""
    distance = {"relative": relative, "relative_interval": [relative - spread, relative + spread], "digest": "d"}
    gate = {"metric": "m", "value": relative, "threshold": 9.0, "direction": "max"}
    gate |= {"status": "passed" if passed else "failed"}
    metrics = {"n_real_test": 60, "distance": {"judge": distance | more.pop("distance", {})}} | more
    return Evaluated(films, metrics, {"passed": passed, "gates": [gate]})


@pytest.mark.parametrize(
    ("candidate", "champion", "finding"),
    [(3.0, 3.9, ALIKE), (3.0, 4.1, BETTER), (4.1, 3.0, WORSE), (4.0, 3.0, ALIKE)],
)
def test_only_intervals_that_do_not_meet_decide(candidate: float, champion: float, finding: str) -> None:
    """A lower distance is better where the intervals lie apart; where they meet the two are alike."""
    (found,) = promotion_policy.compare(evaluated(candidate), evaluated(champion))
    assert (found.metric, found.finding) == ("distance.judge.relative", finding)
    assert promotion_policy.decide(evaluated(candidate), evaluated(champion)).promote is (finding != WORSE)


def test_coverage_is_better_where_it_is_higher_and_copies_are_worse() -> None:
    """Each figure has its own good direction, and one that is worse is enough for a refusal that names it."""
    covers = {"coverage": {"judge": {"relative": 0.9, "relative_interval": [0.8, 1.0]}}}
    copies = {"privacy": {"pixels": {"share": 0.3, "share_interval": [0.2, 0.4]}, "status": "computed"}}
    none = {"privacy": {"pixels": {"share": 0.0, "share_interval": [0.0, 0.1]}, "status": "computed"}}
    less = {"coverage": {"judge": {"relative": 0.5, "relative_interval": [0.4, 0.6]}}}
    found = {
        one.metric: one.finding
        for one in promotion_policy.compare(evaluated(3, **covers, **copies), evaluated(3, **less, **none))
    }
    assert found == {
        "distance.judge.relative": ALIKE,
        "coverage.judge.relative": BETTER,
        "privacy.pixels.share": WORSE,
    }
    decided = promotion_policy.decide(evaluated(3, **covers, **copies), evaluated(3, **less, **none))
    assert not decided.promote
    assert "worse than the champion: privacy.pixels.share 0.3 [0.2, 0.4], the champion's 0 [0, 0.1]" in decided.why


@pytest.mark.parametrize(
    ("candidate", "line"),
    [
        (evaluated(3, films="others"), "cannot be compared with the champion: other films"),
        (evaluated(3, n_real_test=50), "another number of test films"),
        (evaluated(3, distance={"digest": "e"}), "another judge"),
        (evaluated(3, distance={"relative_interval": None}), "not computed of the candidate"),
        (evaluated(3, passed=False), r"^failed: m 3 \(max 9\)$"),
    ],
)
def test_what_cannot_be_held_against_the_champion_is_no_champion(candidate: Evaluated, line: str) -> None:
    """A failed gate, or figures of other films or extractors, refuse a candidate, and the reason says which."""
    decided = promotion_policy.decide(candidate, evaluated(3))
    assert not decided.promote
    with pytest.raises(AssertionError, match=line):
        raise AssertionError(decided.why)


def test_the_first_version_needs_its_gates_alone() -> None:
    """Without a champion nothing is compared."""
    assert promotion_policy.decide(evaluated(3), None) == promotion_policy.Decision(True, "passed: m 3 (max 9)")
    assert not promotion_policy.decide(evaluated(3, passed=False), None).promote
