"""The top of the report: verdict, warnings, summary, checks of the dataset, and gates."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from synthcxr.data.metrics_rows import CheckRow, NearestNeighbourTestRow, PrivacyRow
from synthcxr.data.metrics_schema import (
    PIXELS,
    Checks,
    GateRow,
    MetricsJson,
    PrivacySection,
    VerdictJson,
    is_computed,
    privacy_spaces,
)
from synthcxr.data.number_format import NO_BREAK_SPACE, format_number, format_percent
from synthcxr.data.run_schema import RunJson
from synthcxr.report.section import Section, StatusLine
from synthcxr.report.text import format_n, format_share_estimate, name_features, spell_finding

State = Literal["passed", "failed", "open"]

EXPECTED_SHARE = 0.01
"""The share of images that are closer than 99 % of the held-out films by chance."""
_CHECKS_PREFIX = "checks."
_STATUS_ORDER = ("failed", "passed", "not applicable")
_PHANTOM = (
    "All films behind these results are phantoms that the program drew, not films of patients. The results show that"
    " the pipeline works and say nothing about realism."
)
_NO_FILMS = (
    "No films were given. The images are compared with the reference of val films stored with the model, so this is a"
    " first look and not a test."
)
_NO_COPY_GATE = "No gate tests whether synthetic images copy training films."


@dataclasses.dataclass(frozen=True)
class VerdictSummary:
    """The result of all gates together: its state and its sentence."""

    state: State
    headline: str


def summarise_gates(verdict: VerdictJson) -> VerdictSummary:
    """Count the gates of verdict.json. A dataset to which no gate applies has not passed."""
    gates = verdict["gates"]
    applicable = [gate for gate in gates if gate["status"] != "not applicable"]
    n_failed, n_skipped = sum(gate["status"] == "failed" for gate in applicable), len(gates) - len(applicable)
    n_applicable = format_n(len(applicable), "gate")
    state: State = "failed" if n_failed or not verdict["passed"] else "passed" if applicable else "open"
    if state == "failed":
        headline = f"{n_failed} of {n_applicable} failed"
    elif state == "passed":
        headline = f"{len(applicable)} of {n_applicable} passed"
    else:
        headline = "No gate was applicable: this report contains no verdict"
    if applicable and n_skipped:
        headline += f"; {format_n(n_skipped, 'gate')} not applicable"
    return VerdictSummary(state, headline)


def build_checks_section(checks: Checks) -> Section:
    """All checks of the dataset, failed ones first."""
    rows = sorted(checks["lines"], key=lambda row: bool(row["passed"]))
    return Section(
        title="Dataset checks",
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
    return Section(title="Quality gates", status_lines=lines, notes=() if lines else ("No gate was set.",))


def list_warnings(*, run: RunJson, metrics: MetricsJson, verdict: VerdictJson) -> tuple[str, ...]:
    """The limits of the results that a reader must know before anything else."""
    counts = run["counts"]
    warnings = []
    if metrics["phantom"] or run["model"]["phantom"]:
        warnings.append(_PHANTOM)
    if not run["complete"]:
        warnings.append(
            f"The dataset is incomplete: {counts['found']:,} of {counts['requested']:,} requested images were found"
            f" among {counts['draws']:,} candidates."
        )
    if not metrics["n_real_test"]:
        warnings.append(_NO_FILMS)
    warnings += _warn_of_few_images(metrics, verdict)
    warnings += _warn_of_near_copies(metrics.get("privacy", {}))
    if not any(gate["metric"].startswith("privacy") for gate in verdict["gates"]):
        warnings.append(_NO_COPY_GATE)
    return tuple(warnings)


def summarise_run(run: RunJson) -> str:
    """What was generated, by which model, and for which request."""
    request, counts, model = run["request"], run["counts"], run["model"]
    labels = " and ".join(map(spell_finding, request["labels"]))
    kind = f"each labelled {labels}" if labels else "generated without a requested finding"
    acceptance_rate = format_percent(counts["acceptance_rate"], digits=3, space=NO_BREAK_SPACE)
    return (
        f"{counts['found']:,} synthetic images of {model['resolution']} px, {kind}, from the model {model['name']} with"
        f" seed {request['seed']}. The acceptance rate is {acceptance_rate} of {counts['draws']:,} candidates."
    )


def _warn_of_few_images(metrics: MetricsJson, verdict: VerdictJson) -> list[str]:
    """A warning for each gate on a distance that has fewer images than there are training films."""
    extractors = {gate["metric"].split(".")[1] for gate in verdict["gates"] if gate["metric"].startswith("distance.")}
    warnings = []
    for extractor in sorted(extractors):
        row = metrics["distance"][extractor]
        n, n_train = row.get("n_synthetic"), row.get("n_train")
        if n and n_train and n < n_train:
            warnings.append(
                f"The distance in {name_features(extractor)} is computed from {n:,} images, fewer than the"
                f" {n_train:,} training films. With fewer images the relative distance comes closer to 1, whatever the"
                " images are, so its gate is easier to pass."
            )
    return warnings


def _warn_of_near_copies(privacy: PrivacySection) -> list[str]:
    """Warnings where more images than expected by chance are close to training films, or to each other."""
    spaces = {space: row for space, row in privacy_spaces(privacy).items() if is_computed(row)}
    duplicates = {space: row["duplicates"] for space, row in spaces.items()}
    comparisons: list[tuple[str, Mapping[str, PrivacyRow | NearestNeighbourTestRow], str]] = [
        ("a training film", spaces, "Look at the closest pairs before you share the dataset."),
        ("another image", duplicates, "The generator repeats itself."),
    ]
    warnings = []
    for neighbour, rows, advice in comparisons:
        exceeding = [
            f"{format_share_estimate(row['share'], row['share_interval'], in_text=True)} in {_name_in_sentence(space)}"
            for space, row in rows.items()
            if row["share_interval"][0] > EXPECTED_SHARE
        ]
        if exceeding:
            warnings.append(
                f"More images than expected by chance ({format_percent(EXPECTED_SHARE, decimals=0)}) are close to"
                f" {neighbour}: {', '.join(exceeding)}. {advice}"
            )
    return warnings


def _name_in_sentence(space: str) -> str:
    return space if space == PIXELS else name_features(space)


def _describe_check(row: CheckRow) -> str:
    values = f"{row['found']}; required: {row['asked']}" if row["found"] else ""
    return ". ".join(filter(None, (values, ", ".join(row["rows"]))))


def _describe_bound(gate: GateRow) -> str:
    if gate["value"] is None:
        return ""
    bound = "at most" if gate["direction"] == "max" else "at least"
    return f"{gate['metric']} = {format_number(gate['value'])}, target {bound} {format_number(gate['threshold'])}"


def _to_sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
