"""Is the dataset good, and for what? Distance to films, variety, validity of the labels, and utility."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from synthcxr.data.evidence.answer import Answer, Reason, find_worst, order_reasons
from synthcxr.data.evidence.gate_families import FAMILIES, FamilyName, GateCounts, describe_not_applicable, find_family
from synthcxr.data.evidence.label_quality import (
    describe_label_quality,
    judge_label_quality,
    list_faulty_findings,
    list_usable_findings,
)
from synthcxr.data.evidence.sharing import EXPECTED_SHARE, name_space
from synthcxr.data.metrics_rows import DistanceRow
from synthcxr.data.metrics_schema import MetricsJson, is_computed, privacy_spaces
from synthcxr.data.model_names import name_features
from synthcxr.data.number_format import format_count, format_interval, format_number, format_percent
from synthcxr.data.number_format import format_percent_interval as format_shares

QUESTION = "Is it good, and for what?"
_FAMILIES: tuple[FamilyName, ...] = ("distance", "labels", "validity", "other")
_IN_TEXT = "(95 % CI {} to {})"
_NO_FILMS = (
    "No films were given. The images are compared with the reference of val films stored with the model, so this is a"
    " first look and not a test."
)
_PHANTOM = (
    "All films behind these results are phantoms that the program drew, not films of patients. The results show that"
    " the pipeline works and say nothing about realism."
)


def answer_quality(
    metrics: MetricsJson,
    gates: GateCounts,
    *,
    requested: Sequence[str],
    is_phantom: bool,
    utility: Mapping[str, Any],
) -> Answer:
    """Answer from the distances, the variety, the labels and, where it was measured, utility.json.

    `is_phantom` says that the generator was trained on phantoms, whatever the films of the comparison are.
    """
    gates = gates.select(_FAMILIES)
    reasons = [
        *([Reason("open", _NO_FILMS)] if not metrics["n_real_test"] else []),
        *([Reason("open", _PHANTOM)] if metrics["phantom"] or is_phantom else []),
        *(Reason("failed", gate["sentence"]) for gate in gates.failed),
        *judge_label_quality(metrics, requested),
        *_judge_counts(metrics),
        *_judge_duplicates(metrics),
        *(Reason("open", sentence) for sentence in describe_not_applicable(gates.not_applicable)),
        *(Reason("open", f"No gate on {FAMILIES[family]} is set.") for family in gates.not_set),
    ]
    state = find_worst(reason.state for reason in reasons)
    return Answer(
        key="good",
        question=QUESTION,
        state=state,
        verdict=_describe_verdict(metrics, state, requested, gates),
        reasons=order_reasons(reasons),
        facts=tuple((name, text) for name, text in _list_facts(metrics, requested, utility) if text),
    )


def _describe_verdict(metrics: MetricsJson, state: str, requested: Sequence[str], gates: GateCounts) -> str:
    usable = list_usable_findings(metrics, requested)
    findings = ", ".join(_spell(name) for name in usable)
    if state == "failed":
        failed = list(dict.fromkeys(_name_failed(gates)))
        faulty = list_faulty_findings(metrics, requested)
        use = f", not for {' and '.join(map(_spell, faulty))}" if faulty else ""
        return f"No{use}: {' and '.join(failed)} failed" if failed else f"No{use}"
    if state == "open" and not metrics["n_real_test"]:
        return "Not known: it was not compared with test films"
    if state == "open":
        return f"In part; labels valid for {findings}" if findings else "Not shown in full"
    return f"Yes; labels valid for {findings}" if findings else "Yes, without the labels"


def _name_failed(gates: GateCounts) -> Iterable[str]:
    for gate in gates.failed:
        yield FAMILIES.get(find_family(gate["metric"]), gate["metric"])


def _judge_counts(metrics: MetricsJson) -> list[Reason]:
    """With fewer images than training films, the relative distance is closer to 1, whatever the images are."""
    rows = [row for row in metrics["distance"].values() if is_computed(row)]
    counts = {
        (n, n_train)
        for row in rows
        if (n := row.get("n_synthetic")) and (n_train := row.get("n_train")) and n < n_train
    }
    return [
        Reason(
            "open",
            f"The distance is computed from {format_count(n)} images, fewer than the {format_count(n_train)} training"
            " films. With fewer images the relative distance comes closer to 1, whatever the images are.",
        )
        for n, n_train in sorted(counts)
    ]


def _judge_duplicates(metrics: MetricsJson) -> list[Reason]:
    shares = [
        f"{format_percent(duplicates['share'])} {format_shares(duplicates['share_interval'], template=_IN_TEXT)}"
        f" in {name_space(space, metrics.get('names', {}))}"
        for space, row in privacy_spaces(metrics.get("privacy", {})).items()
        if (duplicates := row.get("duplicates")) and duplicates["share_interval"][0] > EXPECTED_SHARE
    ]
    sentence = (
        f"The generator repeats itself. Images that are close to another one (by chance 1 %): {'; '.join(shares)}."
    )
    return [Reason("open", sentence)] if shares else []


def _list_facts(
    metrics: MetricsJson, requested: Sequence[str], utility: Mapping[str, Any]
) -> tuple[tuple[str, str], ...]:
    return (
        ("Distance to films (training films: 1)", _describe_distances(metrics)),
        ("Variety (training films: 1)", _describe_variety(metrics)),
        *describe_label_quality(metrics, requested),
        ("Utility for training", _describe_utility(utility)),
    )


def _describe_distances(metrics: MetricsJson) -> str:
    names = metrics.get("names", {})
    parts = []
    for extractor, row in metrics["distance"].items():
        parts.append(f"{_describe_distance(row)} in {name_features(extractor, names)}")
    return "; ".join(parts)


def _describe_distance(row: DistanceRow) -> str:
    if not is_computed(row):
        return row["status"]
    if row["relative"] is None:
        return f"Fréchet distance {format_number(row['value'])}, without a floor at this N,"
    interval = format_interval(row["relative_interval"], template=_IN_TEXT)
    return f"{format_number(row['relative'])} {interval}".rstrip()


def _describe_variety(metrics: MetricsJson) -> str:
    names = metrics.get("names", {})
    parts = [
        f"{format_number(row['relative'])} {format_interval(row['relative_interval'], template=_IN_TEXT)}".rstrip()
        + f" of the coverage in {name_features(extractor, names)}"
        for extractor, row in metrics.get("coverage", {}).items()
        if is_computed(row)
    ]
    similarity = metrics.get("similarity")
    if similarity is not None and is_computed(similarity):
        synthetic, real = format_number(similarity["synthetic"]), format_number(similarity.get("real"))
        parts.append(f"MS-SSIM of pairs {synthetic}, of pairs of films {real} (higher: less variety)")
    variety = metrics.get("variety")
    if variety is not None and is_computed(variety):
        share, real = format_percent(variety["near_duplicates"]), format_percent(variety.get("real_near_duplicates"))
        parts.append(f"near-duplicates {share}, of films {real}")
    return "; ".join(parts) or "not measured"


def _describe_utility(utility: Mapping[str, Any]) -> str:
    differences = [
        f"{name} {difference['value']:+.3f} {format_interval(difference['interval'], '{:+.3f}'.format)}"
        for name, difference in utility.get("differences", {}).items()
    ]
    return f"change of mean AUROC: {'; '.join(differences)}" if differences else "not measured"


def _spell(finding: str) -> str:
    return finding.replace("_", " ")
