"""Is the dataset good, and for what? Distance to films, variety, validity of the labels, and utility."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from synthcxr.data.evidence.answer import Answer, Fact, Reason, State, find_worst, join_words, order_reasons
from synthcxr.data.evidence.gate_families import (
    FAMILIES,
    GateCounts,
    describe_failure,
    describe_not_applicable,
    find_family,
    is_within_limit,
    strip_status,
)
from synthcxr.data.evidence.gate_metrics import FamilyName
from synthcxr.data.evidence.label_faults import list_usable_findings, spell_finding
from synthcxr.data.evidence.label_quality import (
    describe_label_quality,
    describe_uses,
    judge_label_quality,
    list_faulty_findings,
)
from synthcxr.data.evidence.metric_names import (
    describe_target,
    find_interval,
    format_limit,
    format_metric,
    format_metric_interval,
    name_metric,
)
from synthcxr.data.evidence.sharing import EXPECTED_SHARE, list_flagged_spaces, name_space
from synthcxr.data.metrics_rows import CoverageRow, DistanceRow
from synthcxr.data.metrics_schema import GateRow, MetricsJson, is_computed, privacy_spaces
from synthcxr.data.model_names import name_features, name_features_briefly
from synthcxr.data.number_format import format_count, format_interval, format_number, format_percent
from synthcxr.data.number_format import format_percent_interval as format_shares

QUESTION = "Is it good, and for what?"
UTILITY_FACT = "Use for training"
_FAMILIES: tuple[FamilyName, ...] = ("distance", "labels", "validity", "other")
_IN_TEXT = "(95 % CI {} to {})"
_NO_COVERAGE = 0.1
"""Images that cover less than this part of what training films cover have none of the variety of films."""
_MAX_NAMED = 4
_NO_FILMS = (
    "The images were compared with the reference of val films that is stored with the model, so this is a first look"
    " and not a test."
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
        *(Reason("failed", describe_failure(gate, find_interval(metrics, gate["metric"]))) for gate in gates.failed),
        *_judge_coverage(metrics),
        *_judge_margins(metrics, gates),
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
        verdict=_describe_verdict(metrics, state, requested, gates, has_utility=bool(utility.get("differences"))),
        reasons=order_reasons(reasons),
        facts=tuple(fact for fact in _list_facts(metrics, gates, requested, utility) if fact.text),
    )


def _describe_verdict(
    metrics: MetricsJson, state: State, requested: Sequence[str], gates: GateCounts, *, has_utility: bool
) -> str:
    if state == "failed":
        failed = list(dict.fromkeys(map(_name_family, gates.failed)))
        faulty = list_faulty_findings(metrics, requested)
        use = f", not for {join_words(map(spell_finding, faulty))}" if faulty else ""
        return f"No{use}: {' and '.join(failed)} failed" if failed else f"No{use}"
    if state == "open" and not metrics["n_real_test"]:
        return "Not known: it was not compared with test films"
    labels = _name_usable(list_usable_findings(metrics, requested))
    if state == "open":
        return f"In part: labels valid for {labels}" if labels else "Not shown in full"
    training = "" if has_utility else "; use for training not measured"
    return f"{f'Yes: labels valid for {labels}' if labels else 'Yes, without the labels'}{training}"


def _name_usable(findings: Sequence[str]) -> str:
    more = [f"{len(findings) - _MAX_NAMED} more"] if len(findings) > _MAX_NAMED else []
    return join_words([*map(spell_finding, findings[:_MAX_NAMED]), *more]) if findings else ""


def _name_family(gate: GateRow) -> str:
    family = find_family(gate["metric"])
    return FAMILIES.get(family) or name_metric(gate["metric"])


def _judge_margins(metrics: MetricsJson, gates: GateCounts) -> list[Reason]:
    """The distances within their limits with an interval that reaches beyond it."""
    return [
        Reason("open", _describe_margin(gate, interval))
        for gate in gates.passed
        if find_family(gate["metric"]) == "distance"
        and (interval := find_interval(metrics, gate["metric"])) is not None
        and not is_within_limit(interval, gate["direction"], gate["threshold"])
    ]


def _describe_margin(gate: GateRow, interval: Sequence[float]) -> str:
    metric, limit = gate["metric"], gate["threshold"]
    name = name_metric(metric)
    value = f"{format_metric(metric, gate['value'], limit=limit)} {format_metric_interval(metric, interval)}"
    return (
        f"The interval of the {name} reaches beyond the limit: {value},"
        f" {describe_target(metric, gate['direction'], limit)}."
    )


def _judge_coverage(metrics: MetricsJson) -> list[Reason]:
    return [
        Reason(
            "failed",
            f"The images cover {'none' if not row['relative'] else 'hardly any'} of the variety of the films: coverage"
            f" {_format_relative(row)} relative to training films, in {name_features_briefly(extractor)}.",
        )
        for extractor, row in metrics.get("coverage", {}).items()
        if _covers_nothing(row)
    ]


def _covers_nothing(row: CoverageRow) -> bool:
    interval = row.get("relative_interval")
    return is_computed(row) and bool(interval) and interval is not None and interval[1] < _NO_COVERAGE


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
    """Images that resemble each other more than films of different patients do."""
    shares = _list_repeats(metrics)
    if not shares:
        return []
    return [
        Reason(
            "open",
            f"The generator repeats itself: {'; '.join(shares)} of the images resemble another image more than 99 % of"
            f" films resemble a film of another patient, 1 % expected.",
        )
    ]


def _list_repeats(metrics: MetricsJson) -> list[str]:
    return [
        f"in {name_space(space)} {format_percent(duplicates['share'])}"
        f" {format_shares(duplicates['share_interval'], template=_IN_TEXT)}"
        for space, row in privacy_spaces(metrics.get("privacy", {})).items()
        if (duplicates := row.get("duplicates")) and duplicates["share_interval"][0] > EXPECTED_SHARE
    ]


def _list_facts(
    metrics: MetricsJson, gates: GateCounts, requested: Sequence[str], utility: Mapping[str, Any]
) -> Iterator[Fact]:
    yield from describe_uses(metrics, requested)
    yield Fact(UTILITY_FACT, _describe_utility(utility))
    distances = [_describe_distance(metrics, extractor, row, gates) for extractor, row in metrics["distance"].items()]
    states = [reason.state for reason in _judge_margins(metrics, gates)]
    states += ["failed" for gate in gates.failed if find_family(gate["metric"]) == "distance"]
    yield Fact(
        "Distance relative to training films (1 = as close as real films)",
        "; ".join(distances) + _warn_of_copies(metrics),
        find_worst(states) if states else None,
    )
    is_poor = [*_judge_coverage(metrics), *_judge_duplicates(metrics)]
    yield Fact(
        "Variety",
        _describe_variety(metrics),
        find_worst(reason.state for reason in is_poor) if is_poor else None,
    )
    variation, labels = metrics["labels"].get("total_variation"), metrics["labels"]
    yield Fact(
        "Label distribution",
        f"total variation from films {format_number(variation)}{_find_limit(gates, 'labels.total_variation')}".rstrip(
            ","
        )
        if variation is not None
        else strip_status(labels["status"]),
        "failed" if any(find_family(gate["metric"]) == "labels" for gate in gates.failed) else None,
    )
    yield from describe_label_quality(metrics, requested)


def _describe_distance(metrics: MetricsJson, extractor: str, row: DistanceRow, gates: GateCounts) -> str:
    features = name_features(extractor, metrics.get("names", {}))
    if not is_computed(row):
        return f"not measured in {features} ({strip_status(row['status'])})"
    if row["relative"] is None:
        return f"Fréchet distance {format_number(row['value'])}, without a floor at this N, in {features}"
    value = f"{format_number(row['relative'])} {format_interval(row['relative_interval'], template=_IN_TEXT)}".rstrip()
    return f"{value}{_find_limit(gates, f'distance.{extractor}.relative')} in {features}"


def _find_limit(gates: GateCounts, metric: str) -> str:
    """The limit of the gate on a metric, in a text after its value."""
    limits = [gate["threshold"] for gate in (*gates.failed, *gates.passed) if gate["metric"] == metric]
    return f", limit {format_limit(metric, limits[0])}," if limits else ""


def _warn_of_copies(metrics: MetricsJson) -> str:
    """A distance below 1 is no merit where copies make the images resemble the films."""
    rows = [row for row in metrics["distance"].values() if is_computed(row)]
    is_low = any((row["relative"] or 1.0) < 1 for row in rows)
    warning = ". Below 1 is no merit here: the images contain near copies of training films"
    return warning if is_low and list_flagged_spaces(metrics) else ""


def _describe_variety(metrics: MetricsJson) -> str:
    parts = [
        f"coverage relative to training films (1 = as varied) {_format_relative(row)} in"
        f" {name_features_briefly(extractor)}"
        for extractor, row in metrics.get("coverage", {}).items()
        if is_computed(row)
    ]
    similarity = metrics.get("similarity")
    if similarity is not None and is_computed(similarity):
        real = "" if (value := similarity.get("real")) is None else f", of pairs of films {format_number(value)}"
        parts.append(f"MS-SSIM of pairs {format_number(similarity['synthetic'])}{real} (higher: less variety)")
    variety = metrics.get("variety")
    if variety is not None and is_computed(variety):
        films = "" if (share := variety.get("real_near_duplicates")) is None else f", of films {format_percent(share)}"
        parts.append(f"almost identical to another image {format_percent(variety['near_duplicates'])}{films}")
    if repeats := _list_repeats(metrics):
        parts.append(f"more alike than films are {', '.join(repeats)}, 1 % expected")
    return "; ".join(parts) or "not measured"


def _format_relative(row: CoverageRow) -> str:
    return f"{format_number(row['relative'])} {format_interval(row['relative_interval'], template=_IN_TEXT)}".rstrip()


def _describe_utility(utility: Mapping[str, Any]) -> str:
    differences = [
        f"{name} {difference['value']:+.3f} {format_interval(difference['interval'], '{:+.3f}'.format)}"
        for name, difference in utility.get("differences", {}).items()
    ]
    return f"change of mean AUROC: {'; '.join(differences)}" if differences else "not measured"
