"""What gates decide on: the kinds of evidence, and which gates of a verdict failed, do not apply or are not set."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

from synthcxr.data.evidence.gate_metrics import FamilyName, find_gate_metric
from synthcxr.data.evidence.metric_names import (
    describe_target,
    format_metric,
    format_metric_interval,
    name_metric,
    name_metric_in_full,
)
from synthcxr.data.metrics_schema import NOT_APPLICABLE, GateDirection, GateRow, VerdictJson

FAMILIES: dict[FamilyName, str] = {
    "files": "file checks",
    "distance": "distance to films",
    "labels": "label distribution",
    "copying": "copying",
    "validity": "label validity",
}
"""The kinds of evidence that every dataset needs a gate on."""
NO_FILMS = "no films were given to `evaluate`"
_ADVICE = re.compile(r": (give|run|export|install|pip|download|put|set)\b.*$")


@dataclasses.dataclass(frozen=True)
class GateCounts:
    """The gates of a verdict by outcome, and the kinds of evidence without a gate."""

    failed: tuple[GateRow, ...]
    passed: tuple[GateRow, ...]
    not_applicable: tuple[GateRow, ...]
    not_set: tuple[FamilyName, ...]

    @classmethod
    def count(cls, verdict: VerdictJson) -> GateCounts:
        """Sort the gates of verdict.json."""
        gates = verdict["gates"]
        set_families = {find_family(gate["metric"]) for gate in gates}
        return cls(
            failed=tuple(gate for gate in gates if gate["status"] == "failed"),
            passed=tuple(gate for gate in gates if gate["status"] == "passed"),
            not_applicable=tuple(gate for gate in gates if gate["status"] == NOT_APPLICABLE),
            not_set=tuple(family for family in FAMILIES if family not in set_families),
        )

    def select(self, families: Sequence[FamilyName]) -> GateCounts:
        """Only the gates of these kinds of evidence."""
        failed, passed, not_applicable = (
            tuple(gate for gate in gates if find_family(gate["metric"]) in families)
            for gates in (self.failed, self.passed, self.not_applicable)
        )
        not_set = tuple(family for family in self.not_set if family in families)
        return GateCounts(failed, passed, not_applicable, not_set)


def find_family(metric: str) -> FamilyName:
    """The kind of evidence that a metric is."""
    declaration = find_gate_metric(metric)
    return "other" if declaration is None else declaration.family


def describe_gate(gate: GateRow) -> str:
    """A gate in one phrase: metric, value, target, and what a count counts."""
    name = name_metric_in_full(gate["metric"])
    if gate["value"] is None:
        return f"{name} ({find_reason(gate)})"
    value = format_metric(gate["metric"], gate["value"], limit=gate["threshold"])
    target = describe_target(gate["metric"], gate["direction"], gate["threshold"])
    detail = f"; {gate['detail']}" if gate.get("detail") else ""
    return f"{name} = {value} ({target}{detail})"


def describe_failure(gate: GateRow, interval: Sequence[float] | None) -> str:
    """A sentence about a gate that failed, with the interval of its value."""
    name, limit = name_metric(gate["metric"]), gate["threshold"]
    value = format_metric(gate["metric"], gate["value"], limit=limit)
    value = f"{value} {format_metric_interval(gate['metric'], interval)}".rstrip()
    target = describe_target(gate["metric"], gate["direction"], limit)
    return f"{name[:1].upper()}{name[1:]}: {value}, {target}: failed."


def is_within_limit(interval: Sequence[float] | None, direction: GateDirection, threshold: float) -> bool:
    """Whether all of an interval is on the right side of the limit of a gate; True where there is no interval."""
    if interval is None:
        return True
    return interval[1] <= threshold if direction == "max" else interval[0] >= threshold


def describe_not_applicable(gates: Iterable[GateRow]) -> list[str]:
    """A sentence for each reason why gates do not apply, with the gates that have it."""
    names_by_reason: dict[str, list[str]] = {}
    for gate in gates:
        names_by_reason.setdefault(find_reason(gate), []).append(name_metric(gate["metric"]))
    return [
        f"Not applicable without films: {', '.join(names)}."
        if reason == NO_FILMS
        else f"Not applicable: {', '.join(names)} ({reason})."
        for reason, names in names_by_reason.items()
    ]


def find_reason(gate: GateRow) -> str:
    """Why a gate is not applicable, from the end of its sentence."""
    return strip_status(gate["sentence"].rpartition(f": {NOT_APPLICABLE}")[2].rstrip("."))


def strip_status(status: str) -> str:
    """The reason in a status, without "not applicable" before it and without the advice for the command line."""
    reason = status.removeprefix(NOT_APPLICABLE).strip()
    reason = reason[1:-1] if reason.startswith("(") and reason.endswith(")") else reason or status
    reason = _ADVICE.sub("", reason)
    return NO_FILMS if reason == "no films" else reason
