"""May the dataset be shared? What was examined for copies of training films, with what result, and what was not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from synthcxr.data.evidence.answer import Answer, Fact, Reason, find_worst, join_words, order_reasons
from synthcxr.data.evidence.gate_families import GateCounts, describe_gate, describe_not_applicable, strip_status
from synthcxr.data.metrics_rows import PrivacyRow
from synthcxr.data.metrics_schema import PIXELS, MetricsJson, is_computed, privacy_spaces
from synthcxr.data.model_names import name_features, name_features_briefly
from synthcxr.data.number_format import format_count, format_interval, format_number, format_percent
from synthcxr.data.number_format import format_percent_interval as format_shares

EXPECTED_SHARE = 0.01
"""The share of images that are closer than 99 % of the comparison films by chance."""
MIN_RECALL = 0.5
"""A space that detects fewer planted copies of a kind does not examine this kind of copy."""
MAX_DETECTABLE_SHARE = 0.05
"""A test that can miss a larger share of copies than this is too weak for an answer."""
IDENTICAL = 0.1
"""Up to this part of the distance from which on images are flagged, an image and a film are practically identical."""
LOOK_AT_PAIRS = "Look at the closest pairs"
"""The report makes a link of these words."""
POWER = "in 4 of 5 sets of this size"
_QUESTION = "May it be shared?"
_VERDICTS = {
    "passed": "Yes, as far as copying was examined",
    "open": "Not shown yet",
    "failed": "No, not as it is",
}
_IN_TEXT = "(95 % CI {} to {})"
_ALWAYS = "whether a person can be recognised in an image; films that the generator did not learn from"


def answer_sharing(metrics: MetricsJson, gates: GateCounts) -> Answer:
    """Answer from the section "privacy" and the gates on it. It is passed only if all computed spaces are clean."""
    spaces = privacy_spaces(metrics.get("privacy", {}))
    computed = read_computed_spaces(metrics)
    skipped = {space: row["status"] for space, row in spaces.items() if space not in computed}
    reasons = [
        *(_judge_space(space, row) for space, row in computed.items()),
        *(reason for space, row in computed.items() for reason in _judge_held_out_only(space, row)),
        *(reason for space, row in computed.items() for reason in _judge_power(space, row)),
        *_judge_gates(gates.select(("copying",)), computed),
        *_judge_skipped(computed, skipped),
    ]
    state = find_worst(reason.state for reason in reasons)
    return Answer(
        key="shared",
        question=_QUESTION,
        state=state,
        verdict="Not known: copying was not examined" if not computed and state == "open" else _VERDICTS[state],
        reasons=order_reasons(reasons),
        facts=tuple(_list_facts(computed, skipped, metrics.get("names", {}))),
    )


def read_computed_spaces(metrics: MetricsJson) -> dict[str, PrivacyRow]:
    """The rows of the spaces in which copies were searched, pixels first."""
    spaces = privacy_spaces(metrics.get("privacy", {}))
    return {
        space: spaces[space]
        for space in sorted(spaces, key=lambda space: space != PIXELS)
        if is_computed(spaces[space])
    }


def list_flagged_spaces(metrics: MetricsJson) -> list[str]:
    """The spaces in which more images are close to training films than by chance."""
    return [space for space, row in read_computed_spaces(metrics).items() if _is_flagged(row)]


def name_space(space: str) -> str:
    """A space in which copies are searched: pixels, or the features of an extractor."""
    return PIXELS if space == PIXELS else name_features_briefly(space)


def describe_detection(spaces: Mapping[str, PrivacyRow]) -> str:
    """The smallest share of copies that each space shows, and of which kinds."""
    return "; ".join(
        f"{format_percent(row['detectable'])} in {name_space(space)}{_list_kinds(row)}"
        for space, row in spaces.items()
        if row.get("detectable") is not None
    )


def list_missed_kinds(spaces: Mapping[str, PrivacyRow]) -> list[str]:
    """The kinds of planted copies of which every space detects fewer than half, each with the detected shares."""
    kinds = dict.fromkeys(kind for row in spaces.values() for kind in row.get("found", {}))
    recalls = {
        kind: {name_space(space): row["found"][kind]["share"] for space, row in spaces.items() if kind in row["found"]}
        for kind in kinds
    }
    return [
        f"{kind} copies (of planted ones "
        + ", ".join(f"{format_percent(share)} found in {space}" for space, share in shares.items())
        + ")"
        for kind, shares in recalls.items()
        if max(shares.values()) < MIN_RECALL
    ]


def _judge_space(space: str, row: PrivacyRow) -> Reason:
    where, share = (
        name_space(space),
        f"{format_percent(row['share'])} {format_shares(row['share_interval'], template=_IN_TEXT)}",
    )
    if _is_flagged(row):
        return Reason(
            "failed",
            f"In {where}, {_describe_closest(space, row)}; {share} are closer than 99 % of {_name_null(row)},"
            " 1 % expected by chance.",
        )
    attack = row.get("attack")
    sentence = f"In {where}, no excess shown: {share} are closer than 99 % of {_name_null(row)}, 1 % expected by chance"
    if attack is not None and attack["low"] is None:
        return Reason(
            "open", f"{sentence}; membership inference was not possible, because no comparable film is held out."
        )
    if attack is not None and (attack["low"] or 0) > 0.5:
        auroc = f"{format_number(attack['auroc'])} {format_interval(attack['interval'], template=_IN_TEXT)}"
        return Reason(
            "open",
            f"{sentence}; but membership inference tells training films from others: AUROC {auroc}, 0.5 expected.",
        )
    return Reason("passed", f"{sentence}.")


def _judge_held_out_only(space: str, row: PrivacyRow) -> list[Reason]:
    """What only the stand-ins explain: copies of them, or films of their source that are near each other."""
    alone = row.get("held_out_only")
    if alone is None or _is_flagged(row) or alone["interval"][0] <= EXPECTED_SHARE:
        return []
    share = f"{format_percent(alone['share'])} {format_shares(alone['interval'], template=_IN_TEXT)}"
    sentence = (
        f"In {name_space(space)}, {share} are closer to a training film than 99 % of the held-out films alone, 1 %"
        " expected by chance: films without comparable held-out films may have been copied, or resemble each other."
    )
    return [Reason("open", sentence)]


def _name_null(row: PrivacyRow) -> str:
    return "comparison films" if row.get("n_null_training") else "held-out films"


def _describe_closest(space: str, row: PrivacyRow) -> str:
    """How many images are closer than any comparison film, and how many of the closest pairs are the same picture."""
    n_null = row.get("n_null")
    expected = f" ({format_number(row['n'] / (n_null + 1), digits=2)} expected by chance)" if n_null else ""
    text = (
        f"{format_count(row['n_below_null'])} of {format_count(row['n'])} images are closer to a training film than any"
        f" {_name_null(row).removesuffix('s')}{expected}"
    )
    pairs, threshold = row.get("pairs", []), row.get("threshold")
    if space != PIXELS or not pairs or threshold is None:
        return text
    n_identical = sum(pair["distance"] <= IDENTICAL * threshold for pair in pairs)
    least = "at least " if n_identical == len(pairs) and n_identical < row["n_below_null"] else ""
    return f"{text}, {least}{n_identical} of them exactly or practically identical" if n_identical else text


def _judge_power(space: str, row: PrivacyRow) -> list[Reason]:
    detectable = row.get("detectable")
    if detectable is not None and detectable <= MAX_DETECTABLE_SHARE:
        return []
    limit = (
        "no share of copies would show"
        if detectable is None
        else f"only {format_percent(detectable)} copies or more would show"
    )
    return [Reason("open", f"In {name_space(space)}, {limit}{'' if detectable is None else ' ' + POWER}.")]


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


def _judge_skipped(computed: Mapping[str, PrivacyRow], skipped: Mapping[str, str]) -> list[Reason]:
    if not computed:
        statuses = list(dict.fromkeys(map(strip_status, skipped.values()))) or ["not measured"]
        return [Reason("open", f"Nothing was examined for copies of training films: {'; '.join(statuses)}.")]
    return [
        Reason("open", f"Not examined in {name_space(space)}: {strip_status(status)}.")
        for space, status in skipped.items()
    ]


def _list_facts(
    computed: Mapping[str, PrivacyRow], skipped: Mapping[str, str], names: Mapping[str, str]
) -> Iterable[Fact]:
    if not computed:
        yield Fact("Not examined", f"copies of training films, in any space; {_ALWAYS}")
        return
    flagged = [space for space, row in computed.items() if _is_flagged(row)]
    if flagged:
        yield Fact("What to do", _advise(flagged, computed))
    yield Fact("Examined", "; ".join(_list_examined(computed, names)))
    if n_null_training := max(row.get("n_null_training", 0) for row in computed.values()):
        yield Fact(
            "Training films without comparable held-out films",
            f"{format_count(n_null_training)} of them stand in for held-out films; each is compared with training films"
            f" of other patients. {_describe_without_stand_ins(computed)}Membership inference leaves their sources out",
        )
    detection = describe_detection(computed)
    text = f"{detection}. A smaller share can stay undetected." if detection else "no share of copies would show"
    yield Fact(f"Smallest share of copies that would show {POWER}", text)
    if missed := list_missed_kinds(computed):
        yield Fact("Not detectable", f"{'; '.join(missed)}. No space finds half of them.")
    places = [f"copies in {name_space(space)}" for space in skipped]
    yield Fact("Not examined", "; ".join([*places, _ALWAYS]))


def _describe_without_stand_ins(computed: Mapping[str, PrivacyRow]) -> str:
    """The shares of near copies with held-out films alone; a result of an earlier version does not have them."""
    shares = [
        f"{format_percent(row['share'])} {format_shares(row['interval'], template=_IN_TEXT)} in {name_space(space)}"
        f" ({format_count(row['n_null'])} films)"
        for space, row in ((space, row.get("held_out_only")) for space, row in computed.items())
        if row is not None
    ]
    expected = "1 % expected by chance"
    return f"With the held-out films alone, near copies are {'; '.join(shares)}, {expected}. " if shares else ""


def _advise(flagged: Sequence[str], computed: Mapping[str, PrivacyRow]) -> str:
    look = f"{LOOK_AT_PAIRS}. " if any(computed[space].get("pairs") for space in flagged) else ""
    columns = join_words((f'"{space} flagged"' for space in flagged), conjunction="or")
    remove = f"leave out the images that privacy.csv flags (column {columns})"
    again = "generate the dataset again with `--reject-memorised`, or " if PIXELS in flagged else ""
    text = f"{again}{remove}; then evaluate again."
    return f"{look}{text[:1].upper()}{text[1:]}"


def _list_examined(computed: Mapping[str, PrivacyRow], names: Mapping[str, str]) -> list[str]:
    """How many images and films were compared, each number of films once, with the networks spelt out."""
    spaces_by_count: dict[str, list[str]] = {}
    for space, row in computed.items():
        count = f"{format_count(row['n'])} images against {format_count(row.get('n_learned'))} training films"
        name = PIXELS if space == PIXELS else name_features(space, names)
        spaces_by_count.setdefault(count, []).append(f"in {name}")
    return [f"{count} {join_words(spaces)}" for count, spaces in spaces_by_count.items()]


def _list_kinds(row: PrivacyRow) -> str:
    recalls = row.get("found", {})
    if not recalls:
        return ""
    kinds = [kind for kind, recall in recalls.items() if recall["share"] >= MIN_RECALL]
    return f" ({join_words(kinds)} copies)" if kinds else " (no kind of planted copy reliably)"
