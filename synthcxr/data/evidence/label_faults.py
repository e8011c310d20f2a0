"""What is wrong with the labels of the images, by finding; a sentence names all findings with the same fault."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from synthcxr.data.evidence.answer import join_words
from synthcxr.data.metrics_rows import EXAGGERATION_LIMIT, LabelRatioRow
from synthcxr.data.metrics_schema import MetricsJson, is_computed, label_ratio_rows
from synthcxr.data.number_format import format_interval, format_number

Fault = Literal["exaggerated", "wrong way round", "weaker than on films", "only abnormal"]

MIN_VALIDITY = 0.5
"""A label with a lower validity separates the images less than half as well as it separates films."""
_IN_TEXT = "(95 % CI {} to {})"


def read_label_ratios(metrics: MetricsJson, name: str) -> dict[str, LabelRatioRow]:
    """The computed rows of "validity" or "specificity" by finding; empty where it was not measured."""
    labels = metrics["labels"]
    section = labels.get("validity") if name == "validity" else labels.get("specificity")
    return {finding: row for finding, row in label_ratio_rows(section or {}).items() if is_computed(row)}


def find_faults(metrics: MetricsJson) -> dict[str, Fault]:
    """What is wrong with the labels, by finding; findings without a fault are absent."""
    validity, specificity = read_label_ratios(metrics, "validity"), read_label_ratios(metrics, "specificity")
    faults = {finding: _find_fault(row, specificity.get(finding)) for finding, row in validity.items()}
    return {finding: fault for finding, fault in faults.items() if fault is not None}


def describe_faults(metrics: MetricsJson, findings: Iterable[str]) -> list[str]:
    """A sentence for each kind of fault that these findings have."""
    faults, by_fault = find_faults(metrics), dict[Fault, list[str]]()
    for finding in findings:
        if finding in faults:
            by_fault.setdefault(faults[finding], []).append(finding)
    rows = {name: read_label_ratios(metrics, name) for name in ("validity", "specificity")}
    return [_SENTENCES[fault](group, rows) for fault, group in by_fault.items()]


def list_usable_findings(metrics: MetricsJson, requested: Sequence[str]) -> list[str]:
    """The findings, of the requested ones if there are any, whose labels separate the images as they separate films."""
    return [finding for finding, row in _list_faultless(metrics, requested) if _is_usable(row)]


def list_unsettled_findings(metrics: MetricsJson, requested: Sequence[str]) -> list[str]:
    """The findings whose labels have no fault that the interval shows, and a validity that does not allow their use."""
    return [finding for finding, row in _list_faultless(metrics, requested) if not _is_usable(row)]


def _list_faultless(metrics: MetricsJson, requested: Sequence[str]) -> list[tuple[str, LabelRatioRow]]:
    faults = find_faults(metrics)
    return [
        (finding, row)
        for finding, row in read_label_ratios(metrics, "validity").items()
        if (not requested or finding in requested) and finding not in faults
    ]


def _is_usable(row: LabelRatioRow) -> bool:
    value, interval = row["value"], row["interval"]
    return (
        value is not None and MIN_VALIDITY <= value <= EXAGGERATION_LIMIT and interval is not None and interval[0] > 0
    )


def spell_finding(finding: str) -> str:
    """A finding with spaces for underscores."""
    return finding.replace("_", " ")


def format_ratio(row: LabelRatioRow) -> str:
    """A validity or specificity with its interval."""
    return f"{format_number(row['value'])} {format_interval(row['interval'], template=_IN_TEXT)}"


def _find_fault(validity: LabelRatioRow, specificity: LabelRatioRow | None) -> Fault | None:
    if (validity["interval"] or (0.0, 0.0))[1] < 0:
        return "wrong way round"
    if validity["exaggerates"]:
        return "exaggerated"
    if (validity["value"] or 0.0) < MIN_VALIDITY:
        return "weaker than on films"
    if specificity is not None and specificity["interval"] and specificity["interval"][1] < MIN_VALIDITY:
        return "only abnormal"
    return None


_Rows = Mapping[str, Mapping[str, LabelRatioRow]]


def _describe_exaggerated(findings: Sequence[str], rows: _Rows) -> str:
    values = _list_values(findings, rows["validity"])
    if len(findings) == 1:
        return f"{_join(findings)} is exaggerated: it is far more obvious on images than on films, {values}."
    return f"{_join(findings)} are exaggerated: they are far more obvious on images than on films, {values}."


def _describe_wrong_way_round(findings: Sequence[str], rows: _Rows) -> str:
    values = _list_values(findings, rows["validity"])
    if len(findings) == 1:
        return f"{_join(findings)} is the wrong way round: images with the label show it less than others, {values}."
    return f"{_join(findings)} are the wrong way round: images with the label show them less than others, {values}."


def _describe_weak(findings: Sequence[str], rows: _Rows) -> str:
    values = _list_values(findings, rows["validity"])
    if len(findings) == 1:
        return f"The label {_join(findings)} means less on images than on films: validity {values}."
    return f"The labels {_join(findings)} mean less on images than on films: validity {values}."


def _describe_unspecific(findings: Sequence[str], rows: _Rows) -> str:
    values = _list_values(findings, rows["specificity"])
    if len(findings) == 1:
        name = _join(findings)
        return f"The label {name} means abnormal and not {name}: specificity against other findings {values}."
    return (
        f"The labels {_join(findings)} mean abnormal and not these findings: specificity against other findings"
        f" {values}."
    )


_SENTENCES: dict[Fault, Callable[[Sequence[str], _Rows], str]] = {
    "exaggerated": _describe_exaggerated,
    "wrong way round": _describe_wrong_way_round,
    "weaker than on films": _describe_weak,
    "only abnormal": _describe_unspecific,
}


def _list_values(findings: Sequence[str], rows: Mapping[str, LabelRatioRow]) -> str:
    if len(findings) == 1:
        return format_ratio(rows[findings[0]])
    return ", ".join(f"{spell_finding(finding)} {format_ratio(rows[finding])}" for finding in findings)


def _join(findings: Sequence[str]) -> str:
    return join_words(map(spell_finding, findings))
