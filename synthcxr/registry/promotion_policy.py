"""Decide whether a candidate may become champion: every gate passed, and no figure is worse beyond both intervals.

Pure functions on the evidence of two versions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal

from synthcxr.data.metrics_rows import Interval
from synthcxr.data.metrics_schema import PIXELS, GateRow, MetricsJson, VerdictJson, privacy_spaces
from synthcxr.data.number_format import format_interval, format_number

Better = Literal["low", "high"]
"""Whether low or high values of a figure are better."""

WORSE, BETTER, ALIKE = "worse", "better", "alike"


@dataclasses.dataclass(frozen=True)
class EvaluatedVersion:
    """The evidence of a version, and the fingerprint of the films that its models are trained on."""

    training_data: str
    metrics: MetricsJson
    verdict: VerdictJson


@dataclasses.dataclass(frozen=True)
class Figure:
    """A value with its 95 % interval."""

    value: float
    interval: tuple[float, float]

    def __str__(self) -> str:
        return f"{_format(self.value)} {format_interval(self.interval, _format)}"


@dataclasses.dataclass(frozen=True)
class FigureComparison:
    """One figure of two versions; `result` is worse, better, alike, or the reason why they cannot be compared."""

    metric: str
    candidate: Figure | None
    champion: Figure | None
    result: str

    @property
    def is_comparable(self) -> bool:
        """Whether the two figures could be compared."""
        return self.result in (WORSE, BETTER, ALIKE)

    def as_dict(self) -> dict[str, Any]:
        """Return the row of `synthcxr models compare --json`."""
        fields = dataclasses.asdict(self)
        fields["finding"] = fields.pop("result")
        return fields


@dataclasses.dataclass(frozen=True)
class Decision:
    """Whether a version may become champion, and why."""

    promote: bool
    why: str


@dataclasses.dataclass(frozen=True)
class _FigureName:
    """Where metrics.json has a figure: section, extractor or space, and key."""

    section: str
    entry: str
    key: str
    better: Better

    def __str__(self) -> str:
        return f"{self.section}.{self.entry}.{self.key}"


def decide_by_gates(verdict: VerdictJson) -> Decision:
    """Decide by the gates alone: none may fail, and at least one must apply and pass."""
    gates = verdict.get("gates", [])
    failed = [gate for gate in gates if gate["status"] == "failed"]
    passed = [gate for gate in gates if gate["status"] == "passed"]
    if failed or not verdict.get("passed"):
        return Decision(False, "failed: " + ("; ".join(map(_describe_gate, failed)) or "the verdict names no gate"))
    if not passed:
        return Decision(False, "no gate was applicable")
    return Decision(True, "passed: " + "; ".join(map(_describe_gate, passed)))


def decide(candidate: EvaluatedVersion, champion: EvaluatedVersion | None) -> Decision:
    """Decide by the gates and by a comparison with the champion, None if there is no champion yet."""
    by_gates = decide_by_gates(candidate.verdict)
    if not by_gates.promote or champion is None:
        return by_gates
    comparisons = compare(candidate, champion)
    if worse := [row for row in comparisons if row.result == WORSE]:
        listing = "; ".join(f"{row.metric} {row.candidate}, the champion's {row.champion}" for row in worse)
        return Decision(False, f"{by_gates.why}; worse than the champion: {listing}")
    compared = [row.metric for row in comparisons if row.is_comparable]
    if not compared:
        reasons = sorted({row.result for row in comparisons}) or ["no figure with an interval"]
        return Decision(False, f"{by_gates.why}; cannot be compared with the champion: {', '.join(reasons)}")
    return Decision(True, f"{by_gates.why}; not worse than the champion in {', '.join(compared)}")


def compare(candidate: EvaluatedVersion, champion: EvaluatedVersion) -> tuple[FigureComparison, ...]:
    """Compare every figure that has an interval in either version."""
    old, new = dict(_figures(champion.metrics)), dict(_figures(candidate.metrics))
    rows = []
    for name in dict.fromkeys([*old, *new]):
        result = _difference(name.entry, candidate, champion) or _rank(new.get(name), old.get(name), name.better)
        rows.append(FigureComparison(str(name), new.get(name), old.get(name), result))
    return tuple(rows)


def _rank(new: Figure | None, old: Figure | None, better: Better) -> str:
    if new is None or old is None:
        return f"not computed for the {'candidate' if new is None else 'champion'}"
    if new.interval[0] > old.interval[1]:
        return WORSE if better == "low" else BETTER
    if new.interval[1] < old.interval[0]:
        return BETTER if better == "low" else WORSE
    return ALIKE


def _difference(entry: str, candidate: EvaluatedVersion, champion: EvaluatedVersion) -> str:
    """Return what makes figures of an extractor incomparable: films, their number or weights; "" if nothing does."""
    if candidate.training_data != champion.training_data:
        return "different films"
    if candidate.metrics.get("n_real_test") != champion.metrics.get("n_real_test"):
        return "different number of test films"
    if entry == PIXELS:
        return ""
    rows = [version.metrics.get("distance", {}).get(entry) for version in (candidate, champion)]
    digests = {None if row is None else row.get("digest") for row in rows}
    return f"different {entry}" if len(digests) > 1 or None in digests else ""


def _figures(metrics: MetricsJson) -> Iterator[tuple[_FigureName, Figure]]:
    rows: list[tuple[_FigureName, float | None, Interval | None]] = []
    for extractor, distance in metrics.get("distance", {}).items():
        name = _FigureName("distance", extractor, "relative", "low")
        rows.append((name, distance.get("relative"), distance.get("relative_interval")))
    for extractor, coverage in metrics.get("coverage", {}).items():
        name = _FigureName("coverage", extractor, "relative", "high")
        rows.append((name, coverage.get("relative"), coverage.get("relative_interval")))
    for space, privacy in privacy_spaces(metrics.get("privacy", {})).items():
        name = _FigureName("privacy", space, "share", "low")
        rows.append((name, privacy.get("share"), privacy.get("share_interval")))
    for name, value, interval in rows:
        if value is not None and interval:
            low, high = interval
            yield name, Figure(float(value), (float(low), float(high)))


def _describe_gate(gate: GateRow) -> str:
    value = format_number(gate["value"], digits=4, missing="none")
    detail = f": {gate['detail']}" if gate.get("detail") else ""
    return f"{gate['metric']} {value} ({gate['direction']} {gate['threshold']:g}){detail}"


def _format(value: float) -> str:
    return format_number(value, digits=4)
