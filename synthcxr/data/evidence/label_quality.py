"""Whether the labels of the images mean what they mean on films: validity, specificity, weights and companions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from synthcxr.data.evidence.answer import Reason, State
from synthcxr.data.metrics_rows import LabelRatioRow
from synthcxr.data.metrics_schema import MetricsJson, cofindings_rows, is_computed, label_ratio_rows
from synthcxr.data.number_format import format_count, format_interval, format_number, format_percent

MIN_VALIDITY = 0.5
"""A label with a lower validity separates the images less than half as well as it separates films."""
MIN_EFFECTIVE_SHARE = 0.1
"""With a lower share, the weights leave few independent images, and every figure of a weighted set is uncertain."""
VALIDITY_FACT = "Label validity (films: 1, no meaning: 0)"
"""The fact that the report shows as a chart instead."""
_EXTRA_FINDINGS = 2.0
_IN_TEXT = "(95 % CI {} to {})"


def read_label_ratios(metrics: MetricsJson, name: str) -> dict[str, LabelRatioRow]:
    """The computed rows of "validity" or "specificity" by finding; empty where it was not measured."""
    labels = metrics["labels"]
    section = labels.get("validity") if name == "validity" else labels.get("specificity")
    return {finding: row for finding, row in label_ratio_rows(section or {}).items() if is_computed(row)}


def judge_label_quality(metrics: MetricsJson, requested: Sequence[str]) -> list[Reason]:
    """What speaks for and against the labels; a fault of a requested finding is a failure, of another one a caution."""
    faults = _find_faults(metrics)
    states: dict[str, State] = {finding: "failed" if finding in requested else "open" for finding in faults}
    unknown = [finding for finding in requested if finding not in read_label_ratios(metrics, "validity")]
    return [
        *(
            Reason("open", f"Whether the images show {_spell(finding)} is not known: {_find_status(metrics, finding)}.")
            for finding in unknown
        ),
        *_judge_weights(metrics),
        *_judge_companions(metrics, requested),
        *(Reason(states[finding], fault) for finding, fault in faults.items()),
    ]


def list_faulty_findings(metrics: MetricsJson, requested: Sequence[str]) -> list[str]:
    """The requested findings that the images do not show as films do."""
    return [finding for finding in _find_faults(metrics) if finding in requested]


def list_usable_findings(metrics: MetricsJson, requested: Sequence[str]) -> list[str]:
    """The findings, of the requested ones if there are any, whose labels separate the images as they separate films."""
    faults = _find_faults(metrics)
    return [
        finding
        for finding, row in read_label_ratios(metrics, "validity").items()
        if (not requested or finding in requested)
        and (row["value"] or 0) >= MIN_VALIDITY
        and row["interval"]
        and row["interval"][0] > 0
        and finding not in faults
    ]


def describe_label_quality(metrics: MetricsJson, requested: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The facts on label distribution, validity, companions and weights, each with its name."""
    labels = metrics["labels"]
    variation = labels.get("total_variation")
    yield (
        "Label distribution",
        f"total variation from films {format_number(variation)}" if variation is not None else labels["status"],
    )
    validity = read_label_ratios(metrics, "validity")
    ordered = sorted(validity, key=lambda finding: finding not in requested)
    values = [f"{_spell(finding)} {_format_ratio(validity[finding])}" for finding in ordered]
    yield VALIDITY_FACT, "; ".join(values) or _describe_absence(metrics)
    yield "Findings per image", _describe_companions(metrics, requested)
    weights = metrics.get("weights")
    if weights is not None and is_computed(weights) and weights["effective_share"] < 1:
        size, share = format_number(weights["effective_size"]), format_percent(weights["effective_share"], digits=2)
        yield "Effective sample size", f"{size} of {format_count(weights['n'])} images ({share})"


def _find_faults(metrics: MetricsJson) -> dict[str, str]:
    """What is wrong with the labels, by finding."""
    validity, specificity = read_label_ratios(metrics, "validity"), read_label_ratios(metrics, "specificity")
    faults = {finding: _find_fault(finding, validity, specificity) for finding in validity}
    return {finding: fault for finding, fault in faults.items() if fault is not None}


def _find_fault(
    finding: str, validity: Mapping[str, LabelRatioRow], specificity: Mapping[str, LabelRatioRow]
) -> str | None:
    """What is wrong with the label of a finding, or None."""
    row, name = validity[finding], _spell(finding)
    value, interval = row["value"] or 0.0, row["interval"] or (0.0, 0.0)
    if interval[1] < 0:
        return f"{name} is the wrong way round: images with the label show it less than others, {_format_ratio(row)}."
    if row["exaggerates"]:
        return f"{name} is a caricature: it is far more obvious on images than on films, {_format_ratio(row)}."
    if value < MIN_VALIDITY:
        return f"The label {name} means less on images than on films: validity {_format_ratio(row)}."
    specific = specificity.get(finding)
    if specific is not None and specific["interval"] and specific["interval"][1] < MIN_VALIDITY:
        return (
            f"The label {name} means abnormal and not {name}: specificity against other findings"
            f" {_format_ratio(specific)}."
        )
    return None


def _judge_weights(metrics: MetricsJson) -> list[Reason]:
    weights = metrics.get("weights")
    if weights is None or not is_computed(weights) or weights["effective_share"] >= MIN_EFFECTIVE_SHARE:
        return []
    size, share = format_number(weights["effective_size"]), format_percent(weights["effective_share"], digits=2)
    sentence = (
        f"The weights of the {format_count(weights['n'])} images leave an effective sample size of {size} ({share})."
    )
    return [Reason("open", sentence)]


def _judge_companions(metrics: MetricsJson, requested: Sequence[str]) -> list[Reason]:
    rows = cofindings_rows(metrics.get("cofindings", {}))
    return [
        Reason(
            "open",
            f"Images with {_spell(finding)} carry {format_number(row['synthetic'])} findings, films"
            f" {format_number(row['real'])}.",
        )
        for finding, row in rows.items()
        if finding in requested and row["real"] and row["synthetic"] > _EXTRA_FINDINGS * row["real"]
    ]


def _describe_companions(metrics: MetricsJson, requested: Sequence[str]) -> str:
    section = metrics.get("cofindings", {})
    rows = cofindings_rows(section)
    parts = []
    for finding in requested:
        if finding in rows:
            row = rows[finding]
            companions = ", ".join(
                f"{_spell(companion['finding'])} {format_percent(companion['synthetic'], decimals=0)}"
                f" (films {format_percent(companion['real'], decimals=0)})"
                for companion in row["companions"]
            )
            parts.append(
                f"with {_spell(finding)} {format_number(row['synthetic'])}, films {format_number(row['real'])};"
                f" most often with {companions or 'no other finding'}"
            )
    synthetic, real = section.get("synthetic"), section.get("real")
    if not parts and isinstance(synthetic, float):
        films = f", films {format_number(real)}" if isinstance(real, float) else ""
        parts.append(f"{format_number(synthetic)}{films}")
    return "; ".join(parts)


def _find_status(metrics: MetricsJson, finding: str) -> str:
    """Why a finding has no validity."""
    section = metrics["labels"].get("validity") or {}
    row = label_ratio_rows(section).get(finding)
    return row["status"] if row is not None else _describe_absence(metrics)


def _describe_absence(metrics: MetricsJson) -> str:
    """Why there is no validity of any finding."""
    section = metrics["labels"].get("validity")
    if section is None:
        return "not measured"
    if isinstance(status := section.get("status"), str) and status != "computed":
        return status
    statuses = dict.fromkeys(row["status"] for row in label_ratio_rows(section).values())
    return "; ".join(statuses) or "not measured"


def _format_ratio(row: LabelRatioRow) -> str:
    return f"{format_number(row['value'], digits=2)} {format_interval(row['interval'], _two_digits, template=_IN_TEXT)}"


def _two_digits(value: float) -> str:
    return format_number(value, digits=2)


def _spell(finding: str) -> str:
    return finding.replace("_", " ")
