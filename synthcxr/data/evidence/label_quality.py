"""Whether the labels of the images mean what they mean on films: validity, specificity, weights and companions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from synthcxr.data.evidence.answer import Fact, Reason, State, join_words
from synthcxr.data.evidence.gate_families import NO_FILMS, strip_status
from synthcxr.data.evidence.label_faults import (
    Fault,
    describe_faults,
    find_faults,
    format_ratio,
    list_unsettled_findings,
    list_usable_findings,
    read_label_ratios,
    spell_finding,
)
from synthcxr.data.metrics_schema import MetricsJson, cofindings_rows, is_computed, label_ratio_rows
from synthcxr.data.number_format import format_count, format_number, format_percent

MIN_EFFECTIVE_SHARE = 0.1
"""With a lower share, the weights leave few independent images, and every figure of a weighted set is uncertain."""
VALIDITY_FACT = "Label validity (1: as on films, 0: no meaning)"
"""The fact that the report shows as a chart instead."""
_EXTRA_FINDINGS = 2.0


def judge_label_quality(metrics: MetricsJson, requested: Sequence[str]) -> list[Reason]:
    """What speaks for and against the labels; a fault of a requested finding is a failure, of another one a caution."""
    others = [finding for finding in find_faults(metrics) if finding not in requested]
    unknown = [finding for finding in requested if finding not in read_label_ratios(metrics, "validity")]
    return [
        *(Reason("failed", sentence) for sentence in describe_faults(metrics, requested)),
        *(
            Reason(
                "open",
                f"Whether the images show {spell_finding(finding)} is not known: {_find_status(metrics, finding)}.",
            )
            for finding in unknown
        ),
        *(Reason("open", sentence) for sentence in describe_faults(metrics, others)),
        *_judge_weights(metrics),
        *_judge_companions(metrics, requested),
    ]


def list_faulty_findings(metrics: MetricsJson, requested: Sequence[str]) -> list[str]:
    """The requested findings that the images do not show as films do."""
    return [finding for finding in find_faults(metrics) if finding in requested]


def list_untested_findings(metrics: MetricsJson) -> dict[str, list[str]]:
    """The findings that images are labelled with and that have no validity, by the reason without its numbers."""
    section, untested = metrics["labels"].get("validity") or {}, dict[str, list[str]]()
    for finding, row in label_ratio_rows(section).items():
        if not is_computed(row) and row.get("n_synthetic_positive"):
            untested.setdefault(strip_status(row["status"]).partition(": AUROC")[0], []).append(finding)
    return untested


def describe_uses(metrics: MetricsJson, requested: Sequence[str]) -> Iterator[Fact]:
    """The findings for which the labels may be used, those for which they may not, and those that were not tested."""
    if not read_label_ratios(metrics, "validity"):
        yield Fact("Labels may be used for", f"not known: {_describe_absence(metrics)}")
        return
    usable = list_usable_findings(metrics, requested)
    name = "Labels may be used for" if metrics["n_real_test"] else "No fault found with val films for"
    yield Fact(name, _describe_usable(metrics, usable))
    if unsettled := list_unsettled_findings(metrics, requested):
        rows = read_label_ratios(metrics, "validity")
        text = "; ".join(f"{spell_finding(finding)} {format_ratio(rows[finding])}" for finding in unsettled)
        yield Fact("Not clear for", f"{text}: more images or films are necessary")
    by_fault = dict[Fault, list[str]]()
    for finding, fault in find_faults(metrics).items():
        by_fault.setdefault(fault, []).append(spell_finding(finding))
    if by_fault:
        text = "; ".join(f"{', '.join(names)} ({fault})" for fault, names in by_fault.items())
        yield Fact("Not for", text, "failed" if list_faulty_findings(metrics, requested) else "open")
    if untested := list_untested_findings(metrics):
        text = "; ".join(f"{', '.join(map(spell_finding, names))} ({reason})" for reason, names in untested.items())
        yield Fact("Labels not tested", text)


def _describe_usable(metrics: MetricsJson, usable: Sequence[str]) -> str:
    """The findings whose labels may be used, those that were tested on few films apart."""
    if not usable:
        return "no finding"
    rows = read_label_ratios(metrics, "validity")
    tested, few = ([name for name in usable if rows[name]["gated"] is is_gated] for is_gated in (True, False))
    names = join_words(map(spell_finding, tested))
    of_few = f"tested on too few films for a gate: {join_words(map(spell_finding, few))}"
    return "; ".join(filter(None, (names, of_few if few else "")))


def describe_label_quality(metrics: MetricsJson, requested: Sequence[str]) -> Iterator[Fact]:
    """The facts on validity, companions and weights."""
    validity = read_label_ratios(metrics, "validity")
    ordered = sorted(validity, key=lambda finding: finding not in requested)
    if ordered:
        values = [f"{spell_finding(finding)} {format_ratio(validity[finding])}" for finding in ordered]
        yield Fact(VALIDITY_FACT, "; ".join(values))
    state: State | None = "open" if _judge_companions(metrics, requested) else None
    yield Fact("Findings per image", _describe_companions(metrics, requested), state)
    weights = metrics.get("weights")
    if weights is not None and is_computed(weights) and weights["effective_share"] < 1:
        size, share = format_number(weights["effective_size"]), format_percent(weights["effective_share"], digits=2)
        text = f"{size} of {format_count(weights['n'])} images ({share})"
        yield Fact("Effective sample size", text, "open" if _judge_weights(metrics) else None)


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
            f"Images with {spell_finding(finding)} carry {format_number(row['synthetic'])} findings, films"
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
                f"{spell_finding(companion['finding'])} {format_percent(companion['synthetic'])}"
                f" (films {format_percent(companion['real'])})"
                for companion in row["companions"]
            )
            parts.append(
                f"with {spell_finding(finding)} {format_number(row['synthetic'])}, films {format_number(row['real'])};"
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
    return strip_status(row["status"]) if row is not None else _describe_absence(metrics)


def _describe_absence(metrics: MetricsJson) -> str:
    """Why there is no validity of any finding."""
    section = metrics["labels"].get("validity")
    if section is None:
        return "not measured"
    status = section.get("status")
    statuses = [status] if isinstance(status, str) and status != "computed" else _list_statuses(metrics)
    return (
        "; ".join(strip_status(status) for status in statuses).replace(NO_FILMS, "there are no films") or "not measured"
    )


def _list_statuses(metrics: MetricsJson) -> list[str]:
    rows = label_ratio_rows(metrics["labels"].get("validity") or {}).values()
    return list(dict.fromkeys(row["status"] for row in rows))
