"""The sections on what decides: all gates, and all checks of the dataset."""

from __future__ import annotations

from synthcxr.data.evidence.gate_families import GateCounts
from synthcxr.data.evidence.identity import describe_check
from synthcxr.data.evidence.metric_names import describe_target, format_metric
from synthcxr.data.evidence.summary import describe_gates
from synthcxr.data.metrics_rows import CheckRow
from synthcxr.data.metrics_schema import Checks, GateRow, VerdictJson
from synthcxr.report.section import Section, StatusLine

_CHECKS_PREFIX = "checks."
_STATUS_ORDER = ("failed", "not applicable", "passed")


def build_checks_section(checks: Checks) -> Section:
    """All checks of the dataset, failed ones first."""
    rows = sorted(checks["lines"], key=lambda row: bool(row["passed"]))
    failed = [row for row in rows if not row["passed"]]
    conclusion = (
        f"{len(failed)} of {len(rows)} checks failed: {'; '.join(map(describe_check, failed))}."
        if failed
        else f"All {len(rows)} checks passed."
    )
    return Section(
        title="Integrity of files and labels",
        conclusion=conclusion,
        is_folded=True,
        is_printed=bool(failed),
        introduction=(
            "Schema, files, digests, value ranges and labels, and that no film of the test side is among the training"
            " films. If a check fails, every score below is meaningless."
        ),
        status_lines=tuple(
            StatusLine("passed" if row["passed"] else "failed", _to_sentence(row["sentence"]), _describe_check(row))
            for row in rows
        ),
    )


def build_gates_section(verdict: VerdictJson) -> Section:
    """All gates on scores, failed ones first. The gates on checks are left out: the section on checks shows them."""
    gates = [
        gate for gate in verdict["gates"] if gate["value"] is None or not gate["metric"].startswith(_CHECKS_PREFIX)
    ]
    lines = tuple(
        StatusLine(gate["status"], gate["sentence"], _describe_bound(gate))
        for gate in sorted(gates, key=lambda gate: _STATUS_ORDER.index(gate["status"]))
    )
    conclusion = describe_gates(GateCounts.count(verdict))
    return Section(title="Quality gates", conclusion=f"{conclusion}.", status_lines=lines)


def _describe_check(row: CheckRow) -> str:
    values = f"{row['found']}; required: {row['asked']}" if row["found"] else ""
    return ". ".join(filter(None, (values, ", ".join(row["rows"]))))


def _describe_bound(gate: GateRow) -> str:
    if gate["value"] is None:
        return ""
    value = format_metric(gate["metric"], gate["value"], limit=gate["threshold"])
    return f"{gate['metric']} = {value}, {describe_target(gate['metric'], gate['direction'], gate['threshold'])}"


def _to_sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
