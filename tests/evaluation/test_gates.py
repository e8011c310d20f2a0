from __future__ import annotations

import json
from typing import Any

import pytest
from support.typed_dict_check import find_mismatches

from synthcxr.config.schema import Gate
from synthcxr.data.metrics_schema import VerdictJson
from synthcxr.errors import ConfigError
from synthcxr.evaluation.gates import apply_gates, check_gates


def build_metrics(**sections: Any) -> Any:
    """The part of metrics.json that these gates read; `sections` replace its sections."""
    share = {"real": 0.2, "synthetic": 0.1, "ratio": 0.5, "judged": True}
    metrics = {
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
    return metrics | sections


def at_most(metric: str, bound: float) -> Gate:
    return Gate(metric=metric, max=bound, min=None)


def at_least(metric: str, bound: float) -> Gate:
    return Gate(metric=metric, max=None, min=bound)


def test_a_value_at_its_bound_passes() -> None:
    """A maximum and a minimum include the bound; the verdict is passed when all gates pass."""
    gates = (at_most("distance.judge.relative", 3.0), at_least("labels.shares.Edema.ratio", 0.5))
    verdict = apply_gates(build_metrics(), gates)
    assert verdict.passed
    assert [gate.status for gate in verdict.gates] == ["passed", "passed"]
    assert [gate.direction for gate in verdict.gates] == ["max", "min"]


def test_the_failures_are_one_line_with_values_and_targets() -> None:
    """The line has every failed gate and no passed one."""
    gates = (
        at_most("checks.failed", 0),
        at_most("distance.judge.relative", 2.5),
        at_least("labels.shares.Edema.ratio", 0.8),
    )
    verdict = apply_gates(build_metrics(), gates)
    assert not verdict.passed
    assert verdict.failures == (
        "2 of 3 gates failed: distance.judge.relative is 3, target at most 2.5;"
        " labels.shares.Edema.ratio is 0.5, target at least 0.8"
    )


def test_a_sentence_has_the_meaning_the_value_the_target_and_the_outcome() -> None:
    """The meaning comes first."""
    verdict = apply_gates(build_metrics(), (at_most("checks.failed", 0), at_most("distance.judge.relative", 2)))
    assert [gate.sentence for gate in verdict.gates] == [
        "Number of failed checks of the synthetic dataset: 0, target at most 0: passed.",
        "Relative Fréchet distance of synthetic images to real test films in judge features (training films: 1): 3,"
        " target at most 2: failed.",
    ]


def test_a_sentence_has_the_interval_and_the_n_of_a_distance() -> None:
    """The N matters because the relative distance of a small set is closer to 1, whatever the images are."""
    row = {"status": "computed", "relative": 3.0, "relative_interval": [2.5, 3.75], "n_synthetic": 1200}
    verdict = apply_gates(build_metrics(distance={"judge": row}), (at_most("distance.judge.relative", 2),))
    assert ": 3 (95 % CI 2.5 to 3.75, N = 1,200 images), target at most 2: failed." in verdict.gates[0].sentence


@pytest.mark.parametrize(
    ("gate", "outcome"),
    [
        (at_most("distance.judge.relative", 3.75), "passed"),
        (at_most("distance.judge.relative", 3.5), "passed, although the interval reaches beyond the target"),
        (at_most("distance.judge.relative", 2.9), "failed"),
        (at_least("distance.judge.relative", 2.5), "passed"),
        (at_least("distance.judge.relative", 2.75), "passed, although the interval reaches beyond the target"),
    ],
)
def test_a_sentence_says_where_a_pass_is_not_certain(gate: Gate, outcome: str) -> None:
    """The value decides; an interval on both sides of the target is named, and one that ends at it is not."""
    row = {"status": "computed", "relative": 3.0, "relative_interval": [2.5, 3.75], "n_synthetic": 1200}
    (result,) = apply_gates(build_metrics(distance={"judge": row}), (gate,)).gates
    assert result.sentence.endswith(f": {outcome}.")


def test_without_films_sentences_name_the_reference_of_the_model() -> None:
    """Values were compared with the reference films of the model, not with test films."""
    gates = (at_most("distance.judge.relative", 2), at_most("labels.total_variation", 0.3))
    for gate in apply_gates(build_metrics(n_real_test=0), gates).gates:
        assert "the reference films of the model" in gate.sentence
        assert "real test films" not in gate.sentence


@pytest.mark.parametrize(
    ("sections", "metric", "reason"),
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
        ({}, "labels.shares.Hernia.ratio", "not applicable (its threshold is based on too few val films)"),
        ({}, "labels.shares.Mass.ratio", "not applicable (it has no value)"),
    ],
)
def test_a_metric_without_a_value_is_not_applicable_and_fails_nothing(
    sections: dict[str, Any], metric: str, reason: str
) -> None:
    """Few films, a weak threshold or an undefined ratio: the sentence has the reason, the other gates decide."""
    verdict = apply_gates(build_metrics(**sections), (at_most(metric, 0.0), at_most("checks.failed", 0)))
    assert verdict.passed
    assert verdict.gates[0].status == "not applicable"
    assert verdict.gates[0].value is None
    assert verdict.gates[0].sentence.endswith(f": {reason}.")


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (
            at_most("distance.fid.relative", 1),
            r"evaluate.gates\[0\].metric: unknown metric 'distance.fid.relative'; known",
        ),
        (at_most("labels", 1), "unknown metric 'labels'"),
        (at_most("labels.shares.Flu.ratio", 1), "unknown metric"),
        (Gate(metric="checks.failed", max=1.0, min=0.0), "give either max or min, and null for the other"),
        (Gate(metric="checks.failed", max=None, min=None), "give either max or min"),
    ],
)
def test_an_invalid_gate_is_refused(gate: Gate, message: str) -> None:
    """Unknown metrics, and gates with two bounds or none, are errors in the parameters."""
    with pytest.raises(ConfigError, match=message):
        check_gates((gate,), ["judge"])
    with pytest.raises(ConfigError, match=message):
        apply_gates(build_metrics(), (gate,))


def test_a_gate_on_a_metric_that_was_not_computed_is_an_error() -> None:
    """A gate on an extractor that is missing on this machine does not count as passed."""
    metrics = build_metrics(distance={"efficientnet-lite0": {"status": "not computed: install it", "relative": None}})
    with pytest.raises(ConfigError, match="distance.efficientnet-lite0.relative: not computed: install it"):
        apply_gates(metrics, (at_most("distance.efficientnet-lite0.relative", 4),))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_fails(value: float) -> None:
    """NaN and infinity fail a maximum and a minimum."""
    metrics = build_metrics(checks={"failed": value, "lines": []})
    verdict = apply_gates(metrics, (at_most("checks.failed", 5), at_least("checks.failed", 0)))
    assert [gate.status for gate in verdict.gates] == ["failed", "failed"]


def test_the_verdict_matches_its_declared_schema() -> None:
    """`as_dict` survives JSON and has the keys of verdict.json."""
    verdict = apply_gates(build_metrics(), (at_most("checks.failed", 0),))
    assert find_mismatches(json.loads(json.dumps(verdict.as_dict())), VerdictJson) == []


def test_a_verdict_without_gates_is_passed() -> None:
    """No gate can fail."""
    assert apply_gates(build_metrics(), ()).passed


def test_a_pattern_applies_to_every_space_with_a_value() -> None:
    """Each computed space has a gate of its own, and one bad space fails; a space that was not computed has none."""
    privacy = {
        "status": "computed",
        "n_flagged_in_any": 3,
        "pixels": {"status": "computed", "share_low": 0.02},
        "judge": {"status": "computed", "share_low": 0.001},
        "efficientnet-lite0": {"status": "not computed: install it"},
    }
    distance = {name: {"status": "computed", "relative": 1.0} for name in ("judge", "efficientnet-lite0")}
    metrics = build_metrics(privacy=privacy, distance=distance)
    verdict = apply_gates(metrics, (at_most("privacy.*.share_low", 0.01),))
    assert not verdict.passed
    assert {gate.metric: gate.status for gate in verdict.gates} == {
        "privacy.pixels.share_low": "failed",
        "privacy.judge.share_low": "passed",
    }


@pytest.mark.parametrize("status", ["not applicable (no films: give --films)", "not computed: install it"])
def test_a_pattern_without_any_value_is_one_gate_that_is_not_applicable(status: str) -> None:
    """The gate keeps its pattern as its name and states the reason; it does not disappear."""
    privacy = {"status": status, "pixels": {"status": status}, "judge": {"status": status}}
    verdict = apply_gates(build_metrics(privacy=privacy), (at_most("privacy.*.share_low", 0.01),))
    (gate,) = verdict.gates
    assert (gate.metric, gate.status, gate.value) == ("privacy.*.share_low", "not applicable", None)
    assert status in gate.sentence


@pytest.mark.parametrize(
    "metric",
    [
        "privacy.*.nothing",
        "*",
        "*.failed.*",
        "*.failed",
        "distance.jud*.relative",
        "privacy.pixels.*",
        "labels.*.mean",
        "distance.*.*",
    ],
)
def test_a_pattern_that_matches_no_metric_is_refused(metric: str) -> None:
    """A `*` stands for one name of an extractor, finding or the like; anything else is a mistake in the parameters."""
    with pytest.raises(ConfigError, match="unknown metric"):
        check_gates((at_most(metric, 1),), ["judge"])


def build_labels(**row: Any) -> dict[str, Any]:
    """A section "labels" without comparable films, in which validity is computed."""
    ratio = {"status": "computed", "value": 0.8, "interval": [0.6, 1.0], "n_real_positive": 40, "gated": True} | row
    section = {"status": "computed", "mean": 0.7, "mean_interval": [0.5, 0.9], "Edema": ratio}
    return {"status": "not applicable (n = 7)", "shares": {}, "validity": section, "specificity": section}


def test_label_validity_can_be_gated_where_label_shares_cannot() -> None:
    """The status of the section "labels" is about shares; validity has its own. A gate names its interval."""
    gates = (
        at_least("labels.validity.Edema.value", 0.7),
        at_least("labels.validity.mean", 0.75),
        at_least("labels.specificity.Edema.value", 0.9),
    )
    verdict = apply_gates(build_metrics(labels=build_labels()), gates)
    assert [gate.status for gate in verdict.gates] == ["passed", "failed", "failed"]
    assert "Label validity of Edema" in verdict.gates[0].sentence
    assert "0.8 (95 % CI 0.6 to 1), target at least 0.7: passed" in verdict.gates[0].sentence
    assert "0.7 (95 % CI 0.5 to 0.9)" in verdict.gates[1].sentence


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"gated": False, "n_real_positive": 14}, "not applicable (14 positive films, fewer than 15)"),
        ({"status": "not applicable (n = 2 films)", "value": None}, "not applicable (n = 2 films)"),
    ],
)
def test_a_finding_with_few_positive_films_is_not_gated(row: dict[str, Any], reason: str) -> None:
    """Its value is reported; the gate is not applicable and says why."""
    verdict = apply_gates(build_metrics(labels=build_labels(**row)), (at_least("labels.validity.Edema.value", 0.99),))
    assert (verdict.gates[0].status, verdict.gates[0].value) == ("not applicable", None)
    assert verdict.gates[0].sentence.endswith(f": {reason}.")


def test_a_finding_without_a_row_takes_the_reason_of_its_section() -> None:
    """Without a baseline no finding of a requested set has validity."""
    labels = build_labels() | {"validity": {"status": "not applicable (no baseline)", "mean": None}}
    for metric in ("labels.validity.Edema.value", "labels.validity.mean"):
        verdict = apply_gates(build_metrics(labels=labels), (at_least(metric, 0.5),))
        assert verdict.gates[0].sentence.endswith(": not applicable (no baseline).")


def test_the_effective_sample_size_can_be_gated() -> None:
    """Two of a hundred images: the gate at 10 % fails."""
    weights = {"status": "computed", "effective_size": 2.0, "effective_share": 0.02, "n": 100}
    verdict = apply_gates(build_metrics(weights=weights), (at_least("weights.effective_share", 0.1),))
    assert verdict.gates[0].status == "failed"
