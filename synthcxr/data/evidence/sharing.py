"""May the dataset be shared? What was examined for copies of training films, with what result, and what was not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from synthcxr.data.evidence.answer import Answer, Reason, find_worst, order_reasons
from synthcxr.data.evidence.gate_families import GateCounts, describe_gate, describe_not_applicable, strip_status
from synthcxr.data.metrics_rows import PrivacyRow
from synthcxr.data.metrics_schema import PIXELS, MetricsJson, is_computed, privacy_spaces
from synthcxr.data.model_names import name_features
from synthcxr.data.number_format import format_count, format_interval, format_number, format_percent
from synthcxr.data.number_format import format_percent_interval as format_shares

EXPECTED_SHARE = 0.01
"""The share of images that are closer than 99 % of the held-out films by chance."""
MIN_RECALL = 0.5
"""A space that detects fewer planted copies of a kind does not examine this kind of copy."""
MAX_DETECTABLE_SHARE = 0.05
"""A test that can miss a larger share of copies than this is too weak for an answer."""
_QUESTION = "May it be shared?"
_VERDICTS = {
    "passed": "Yes, as far as copying was examined",
    "open": "Not shown yet",
    "failed": "No, not as it is",
}
_IN_TEXT = "(95 % CI {} to {})"
_ALWAYS = "whether a person can be recognised in an image, and films that the generator did not learn from"


def answer_sharing(metrics: MetricsJson, gates: GateCounts) -> Answer:
    """Answer from the section "privacy" and the gates on it. It is passed only if all computed spaces are clean."""
    privacy, names = metrics.get("privacy", {}), metrics.get("names", {})
    spaces = dict(sorted(privacy_spaces(privacy).items(), key=lambda item: item[0] != PIXELS))
    computed = {space: row for space, row in spaces.items() if is_computed(row)}
    skipped = {space: row["status"] for space, row in spaces.items() if space not in computed}
    reasons = [
        *(_judge_space(name_space(space, names), row) for space, row in computed.items()),
        *(reason for space, row in computed.items() for reason in _judge_power(name_space(space, names), row)),
        *_judge_gates(gates.select(("copying",)), computed),
        *_judge_skipped(computed, skipped, names),
    ]
    state = find_worst(reason.state for reason in reasons)
    return Answer(
        key="shared",
        question=_QUESTION,
        state=state,
        verdict="Not known: copying was not examined" if not computed and state == "open" else _VERDICTS[state],
        reasons=order_reasons(reasons),
        facts=_list_facts(computed, skipped, names),
    )


def name_space(space: str, names: Mapping[str, str]) -> str:
    """A space in which copies are searched: pixels, or the features of an extractor, spelt out."""
    return PIXELS if space == PIXELS else name_features(space, names)


def _judge_space(space: str, row: PrivacyRow) -> Reason:
    share = f"{format_percent(row['share'])} {format_shares(row['share_interval'], template=_IN_TEXT)}"
    if _is_flagged(row):
        return Reason(
            "failed",
            f"In {space}, {share} of the images are closer to a training film than 99 % of the held-out films are;"
            " chance gives 1 %. Look at the closest pairs.",
        )
    attack = row.get("attack")
    if attack is not None and (attack["low"] or 0) > 0.5:
        auroc = f"{format_number(attack['auroc'])} {format_interval(attack['interval'], template=_IN_TEXT)}"
        return Reason("open", f"In {space}, membership inference tells training films from others: AUROC {auroc}.")
    return Reason("passed", f"In {space}, not more images than by chance are close to a training film: {share}.")


def _judge_power(space: str, row: PrivacyRow) -> list[Reason]:
    detectable = row.get("detectable")
    if detectable is not None and detectable <= MAX_DETECTABLE_SHARE:
        return []
    limit = "no share of copies" if detectable is None else f"only copies that are {format_percent(detectable)} or more"
    return [Reason("open", f"In {space}, a set of this size would show {limit}.")]


def _judge_gates(gates: GateCounts, computed: Mapping[str, PrivacyRow]) -> list[Reason]:
    """The gates whose outcome the spaces do not say already."""
    flagged = {f"privacy.{space}.share_low" for space, row in computed.items() if _is_flagged(row)}
    reasons = [
        Reason("failed", f"Failed: {describe_gate(gate)}.") for gate in gates.failed if gate["metric"] not in flagged
    ]
    if computed:
        reasons += [Reason("open", sentence) for sentence in describe_not_applicable(gates.not_applicable)]
    return reasons + ([Reason("open", "No gate on copying is set.")] if gates.not_set else [])


def _is_flagged(row: PrivacyRow) -> bool:
    return row["share_interval"][0] > EXPECTED_SHARE


def _judge_skipped(
    computed: Mapping[str, PrivacyRow], skipped: Mapping[str, str], names: Mapping[str, str]
) -> list[Reason]:
    if not computed:
        statuses = list(dict.fromkeys(map(strip_status, skipped.values()))) or ["not measured"]
        return [Reason("open", f"Nothing was examined for copies of training films: {'; '.join(statuses)}.")]
    return [
        Reason("open", f"Not examined in {name_space(space, names)}: {strip_status(status)}.")
        for space, status in skipped.items()
    ]


def _list_facts(
    computed: Mapping[str, PrivacyRow], skipped: Mapping[str, str], names: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    not_examined = [f"{name_space(space, names)}: {strip_status(status)}" for space, status in skipped.items()]
    if kinds := find_missed_kinds(list(computed.values())):
        not_examined.append(f"copies that are {' or '.join(kinds)}, which no space detects reliably")
    not_examined.append(_ALWAYS)
    examined = [
        f"{format_count(row['n'])} images against {format_count(row.get('n_learned'))} training films in"
        f" {name_space(space, names)}"
        for space, row in computed.items()
    ]
    limits = [
        f"{format_percent(row['detectable'])} in {name_space(space, names)}"
        for space, row in computed.items()
        if row.get("detectable") is not None
    ]
    smallest = (
        f"{'; '.join(limits)}. A smaller share can stay undetected."
        if limits
        else "none: no share of copies would show"
    )
    return (
        ("Examined", "; ".join(examined) or "nothing"),
        *(
            (("Smallest share of copies that would show, in 4 of 5 sets of this size", smallest),)
            if computed
            else (("Smallest share of copies that would show", "none: the set was not examined"),)
        ),
        ("Not examined", "; ".join(not_examined)),
    )


def find_missed_kinds(rows: Sequence[PrivacyRow]) -> tuple[str, ...]:
    """The kinds of planted copies of which every space detects fewer than half."""
    kinds = dict.fromkeys(kind for row in rows for kind in row.get("found", {}))
    return tuple(
        kind
        for kind in kinds
        if max(row["found"][kind]["share"] for row in rows if kind in row.get("found", {})) < MIN_RECALL
    )
