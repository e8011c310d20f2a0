"""Gates: bounds on figures of metrics.json. params.yaml lists them, and the verdict is that none failed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from synthcxr.config.schema import Gate
from synthcxr.data.evidence.gate_families import is_within_limit
from synthcxr.data.evidence.gate_metrics import GATE_METRICS, describe_paths, find_gate_metric
from synthcxr.data.evidence.metric_names import (
    describe_target,
    find_interval,
    format_metric,
    format_metric_interval,
)
from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.data.metrics_schema import (
    NOT_APPLICABLE,
    NOT_COMPUTED,
    PIXELS,
    Checks,
    GateDirection,
    GateStatus,
    MetricsJson,
    VerdictJson,
    not_applicable,
)
from synthcxr.errors import ConfigError
from synthcxr.evaluation.declared_metrics import METRICS
from synthcxr.evaluation.gate_patterns import is_pattern, match_metrics
from synthcxr.evaluation.metrics.label_validity import MIN_GATED_POSITIVES


@dataclasses.dataclass(frozen=True)
class GateResult:
    """One gate and its outcome; `value` is None where the gate is not applicable.

    `detail` names what the value counts: each failed check with its value and its bound.
    """

    metric: str
    value: float | None
    threshold: float
    direction: GateDirection
    status: GateStatus
    sentence: str
    detail: str = ""

    def __str__(self) -> str:
        """The metric, its value and its bound, with the detail."""
        target = describe_target(self.metric, self.direction, self.threshold)
        value = format_metric(self.metric, self.value, limit=self.threshold)
        return f"{self.metric} is {value}, {target}" + _in_brackets(self.detail)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """All gates in the order of params.yaml; `passed` means that none failed."""

    passed: bool
    gates: tuple[GateResult, ...]

    def as_dict(self) -> VerdictJson:
        """The content of verdict.json."""
        return cast(VerdictJson, {"passed": self.passed, "gates": [dataclasses.asdict(gate) for gate in self.gates]})

    @property
    def failures(self) -> str:
        """One line with every failed gate, its value and its target."""
        failed = [gate for gate in self.gates if gate.status == "failed"]
        return f"{len(failed)} of {len(self.gates)} gates failed: {'; '.join(map(str, failed))}"


def describe_metrics(extractors: Sequence[str]) -> dict[str, str]:
    """What each metric that a gate may name means, by its dotted path, for these extractors."""
    return describe_paths(extractors, {metric.name: metric.meaning for metric in METRICS.load_all()})


def check_gates(gates: Iterable[Gate], extractors: Sequence[str]) -> None:
    """Raise ConfigError for a gate on an unknown metric, or without exactly one bound."""
    known = describe_metrics(extractors)
    for index, gate in enumerate(gates):
        if find_gate_metric(gate.metric) is None or not match_metrics(gate.metric, known):
            raise ConfigError(
                f"evaluate.gates[{index}].metric: unknown metric {gate.metric!r}; known:"
                f" {_join(metric.path for metric in GATE_METRICS)}; <extractor>: {_join(extractors) or 'none'};"
                f" <space>: {_join((PIXELS, *extractors))}; <finding>: a finding, such as {FINDINGS[1]}; <label>:"
                f" a finding or {NO_FINDING!r}; <metric>: {_join(metric.name for metric in METRICS.load_all())}; *:"
                " every such name that has a value, as in privacy.*.share_low"
            )
        if (gate.max is None) == (gate.min is None):
            raise ConfigError(f"evaluate.gates[{index}]: {gate.metric}: give either max or min, and null for the other")


def apply_gates(metrics: MetricsJson, gates: Sequence[Gate]) -> Verdict:
    """Compare the metrics with the gates; ConfigError for a gate on a metric that is unknown or was not computed."""
    extractors = list(metrics["distance"])
    check_gates(gates, extractors)
    meanings = describe_metrics(extractors)
    results = tuple(result for gate in gates for result in _apply_gate(metrics, gate, meanings))
    return Verdict(passed=all(result.status != "failed" for result in results), gates=results)


def _apply_gate(metrics: MetricsJson, gate: Gate, meanings: Mapping[str, str]) -> list[GateResult]:
    """The result of a gate. A pattern has one for each metric with a value, or else one that is not applicable."""
    results = [
        _apply_bound(metrics, dataclasses.replace(gate, metric=metric), meanings[metric])
        for metric in match_metrics(gate.metric, meanings)
    ]
    if not is_pattern(gate.metric):
        if (status := _look_up(metrics, gate.metric)[1]).startswith(NOT_COMPUTED):
            raise ConfigError(f"evaluate.gates: {gate.metric}: {status}")
        return results
    reason = _look_up(metrics, results[0].metric)[1]
    none_applicable = dataclasses.replace(results[0], metric=gate.metric, sentence=f"{gate.metric}: {reason}.")
    return [result for result in results if result.value is not None] or [none_applicable]


def _apply_bound(metrics: MetricsJson, gate: Gate, meaning: str) -> GateResult:
    direction: GateDirection = "min" if gate.max is None else "max"
    threshold = float(gate.min if gate.max is None else gate.max)  # type: ignore[arg-type]
    value, reason = _look_up(metrics, gate.metric)
    detail = _describe_failed_checks(metrics["checks"]) if gate.metric == "checks.failed" else ""
    status: GateStatus
    if value is None:
        status, outcome = NOT_APPLICABLE, reason
    else:
        is_within = math.isfinite(value) and (value <= threshold if direction == "max" else value >= threshold)
        status = "passed" if is_within else "failed"
        target = describe_target(gate.metric, direction, threshold)
        described = _describe_value(metrics, gate.metric, value, limit=threshold)
        outcome = f"{described}{_in_brackets(detail)}, {target}: {status}"
        if is_within and not is_within_limit(find_interval(metrics, gate.metric), direction, threshold):
            outcome += ", although the interval reaches beyond the target"
        if not metrics["n_real_test"]:
            meaning = meaning.replace("real test films", "the reference films of the model")
    sentence = f"{meaning[0].upper()}{meaning[1:]}: {outcome}."
    return GateResult(gate.metric, value, threshold, direction, status, sentence, detail)


def _describe_failed_checks(checks: Checks) -> str:
    """Each failed check with its value and its bound."""
    return "; ".join(
        f"{line['name']}: {line['found']}, required {line['asked']}" if line["found"] else line["name"]
        for line in checks["lines"]
        if not line["passed"]
    )


def _join(names: Iterable[str]) -> str:
    return ", ".join(names)


def _in_brackets(detail: str) -> str:
    return f" ({detail})" if detail else ""


def _look_up(metrics: MetricsJson, path: str) -> tuple[float | None, str]:
    """The number at a dotted path, or None and the reason.

    The reason is the last "status" on the way: a part of a section may be computed where the section is not.
    """
    node: Any = metrics
    reason = ""
    for key in path.split("."):
        status = str(node.get("status", ""))
        if status.startswith(NOT_COMPUTED):
            return None, status
        reason = status if status.startswith(NOT_APPLICABLE) else "" if status else reason
        if node.get("judged") is False:
            return None, not_applicable("its threshold is based on too few val films")
        if node.get("gated") is False:
            return None, not_applicable(f"{node['n_real_positive']} positive films, fewer than {MIN_GATED_POSITIVES}")
        node = node.get(key)
        if node is None or (reason and not isinstance(node, dict)):
            return None, reason or not_applicable("it has no value")
    return float(node), ""


def _describe_value(metrics: MetricsJson, path: str, value: float, *, limit: float) -> str:
    """The value, its interval where it has one, and the N of a distance: at a small N the ratio is closer to 1."""
    details = [format_metric_interval(path, find_interval(metrics, path)).strip("()")]
    kind, name, *_ = path.split(".")
    if kind == "distance" and (n := metrics["distance"][name].get("n_synthetic")) is not None:
        details.append(f"N = {n:,} images")
    text, number = ", ".join(filter(None, details)), format_metric(path, value, limit=limit)
    return f"{number} ({text})" if text else number
