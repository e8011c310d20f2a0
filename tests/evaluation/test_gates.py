from __future__ import annotations

import json
from typing import Any

import pytest

from synthcxr.config.schema import Gate
from synthcxr.errors import ConfigError
from synthcxr.evaluation import gates as verdict


def metrics(**changed: Any) -> dict[str, Any]:
    """What metrics.json holds, as far as gates read it."""
    share = {"real": 0.2, "synthetic": 0.1, "ratio": 0.5, "judged": True}
    held = {
        "n_real_test": 60,
        "distance": {"judge": {"status": "computed", "value": 30.0, "floor": 10.0, "relative": 3.0}},
        "labels": {
            "status": "computed",
            "total_variation": 0.25,
            "jensen_shannon": 0.1,
            "kl": 0.2,
            "shares": {"Edema": share, "Hernia": share | {"judged": False}, "Mass": share | {"ratio": None}},
        },
        "checks": {"failed": 0, "lines": []},
    }
    return held | changed


def at_most(metric: str, bound: float) -> Gate:
    return Gate(metric=metric, max=bound, min=None)


def at_least(metric: str, bound: float) -> Gate:
    return Gate(metric=metric, max=None, min=bound)


def test_gates_pass_up_to_and_at_their_bound() -> None:
    """A maximum and a minimum include the bound; all passed is a passed verdict."""
    gates = (at_most("distance.judge.relative", 3.0), at_least("labels.shares.Edema.ratio", 0.5))
    found = verdict.judge(metrics(), gates)
    assert found.passed
    assert [gate.status for gate in found.gates] == ["passed", "passed"]
    assert [gate.direction for gate in found.gates] == ["max", "min"]


def test_a_failed_gate_fails_the_verdict_and_is_named_with_value_and_threshold() -> None:
    """The one line of failures has every failed gate, its value and what was asked, and no passed one."""
    gates = (
        at_most("checks.failed", 0),
        at_most("distance.judge.relative", 2.5),
        at_least("labels.shares.Edema.ratio", 0.8),
    )
    found = verdict.judge(metrics(), gates)
    assert not found.passed
    assert found.failures == (
        "2 of 3 gates failed: distance.judge.relative is 3, at most 2.5 asked;"
        " labels.shares.Edema.ratio is 0.5, at least 0.8 asked"
    )


def test_a_sentence_says_what_was_measured_in_plain_words() -> None:
    """Words first, then the value, the bound and the outcome."""
    found = verdict.judge(metrics(), (at_most("checks.failed", 0), at_most("distance.judge.relative", 2)))
    assert found.gates[0].sentence == "Checks of the synthetic dataset that failed: 0, at most 0 asked: passed."
    assert (
        "as a multiple of the real training films' own, in features of judge: 3, at most 2" in found.gates[1].sentence
    )


def test_a_distance_says_with_how_many_images_and_against_whose_films() -> None:
    """The ratio of a small set comes nearer to 1 by itself, and what the model carries is no test film."""
    held = metrics()
    held["distance"]["judge"]["n_synthetic"] = 1200
    gates = (at_most("distance.judge.relative", 2), at_most("labels.total_variation", 0.3))
    found = verdict.judge(held, gates).gates
    assert found[0].sentence.startswith("Distance to real test films, ")
    assert found[0].sentence.endswith("in features of judge: 3 with 1,200 images, at most 2 asked: failed.")
    for gate in verdict.judge(held | {"n_real_test": 0}, gates).gates:
        assert "the films that the model carries" in gate.sentence
        assert "real test films" not in gate.sentence


@pytest.mark.parametrize(
    ("changed", "metric", "why"),
    [
        (
            {"distance": {"judge": {"status": "not applicable (n = 10)", "relative": None}}},
            "distance.judge.relative",
            "not applicable (n = 10)",
        ),
        (
            {"labels": {"status": "not applicable (n = 7)", "total_variation": None, "shares": {}}},
            "labels.shares.Edema.ratio",
            "not applicable (n = 7)",
        ),
        ({}, "labels.shares.Hernia.ratio", "not applicable (its threshold rests on too few val films)"),
        ({}, "labels.shares.Mass.ratio", "not applicable (it has no value)"),
    ],
)
def test_what_has_no_value_is_not_applicable_and_fails_nothing(changed: dict[str, Any], metric: str, why: str) -> None:
    """Few films, a weak threshold or an undefined ratio: the gate says why and the verdict stands on the others."""
    found = verdict.judge(metrics(**changed), (at_most(metric, 0.0), at_most("checks.failed", 0)))
    assert found.passed
    assert found.gates[0].status == "not applicable"
    assert found.gates[0].value is None
    assert found.gates[0].sentence.endswith(f": {why}.")


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        (
            at_most("distance.fid.relative", 1),
            r"evaluate.gates\[0\].metric: unknown metric 'distance.fid.relative'; known",
        ),
        (at_most("labels", 1), "unknown metric 'labels'"),
        (at_most("labels.shares.Flu.ratio", 1), "unknown metric"),
        (Gate(metric="checks.failed", max=1.0, min=0.0), "give max or min, and null for the other"),
        (Gate(metric="checks.failed", max=None, min=None), "give max or min"),
    ],
)
def test_a_gate_that_means_nothing_is_refused(gate: Gate, says: str) -> None:
    """Unknown paths, and gates with two bounds or none, are parameters to mend."""
    with pytest.raises(ConfigError, match=says):
        verdict.check((gate,), ["judge"])
    with pytest.raises(ConfigError, match=says):
        verdict.judge(metrics(), (gate,))


def test_a_gate_on_what_was_not_computed_is_an_error() -> None:
    """A missing extractor must not let a gate on it slip through."""
    held = metrics(distance={"efficientnet-lite0": {"status": "not computed: install it", "relative": None}})
    with pytest.raises(ConfigError, match="distance.efficientnet-lite0.relative: not computed: install it"):
        verdict.judge(held, (at_most("distance.efficientnet-lite0.relative", 4),))


def test_a_value_that_is_no_number_fails() -> None:
    """NaN and infinity keep no bound, whichever side it is on."""
    for value in (float("nan"), float("inf"), float("-inf")):
        held = metrics(checks={"failed": value})
        found = verdict.judge(held, (at_most("checks.failed", 5), at_least("checks.failed", 0)))
        assert [gate.status for gate in found.gates] == ["failed", "failed"]


def test_the_verdict_is_json_of_the_agreed_shape() -> None:
    """`as_dict` survives JSON and has the keys that the report and the registry read."""
    held = json.loads(json.dumps(verdict.judge(metrics(), (at_most("checks.failed", 0),)).as_dict()))
    assert set(held) == {"passed", "gates"}
    assert set(held["gates"][0]) == {"metric", "value", "threshold", "direction", "status", "sentence"}


def test_no_gates_pass() -> None:
    """Nothing asked, nothing failed."""
    assert verdict.judge(metrics(), ()).passed
