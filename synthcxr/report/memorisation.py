"""The section on copies of training films: the figures of each space, and the closest pairs as numbers."""

from __future__ import annotations

from synthcxr.data.evidence.answer import Answer
from synthcxr.data.evidence.sharing import (
    POWER,
    describe_detection,
    list_flagged_spaces,
    list_missed_kinds,
    name_space,
    read_computed_spaces,
)
from synthcxr.data.metrics_rows import PrivacyRow
from synthcxr.data.metrics_schema import PIXELS, MetricsJson, is_computed, privacy_spaces
from synthcxr.data.number_format import NO_BREAK_SPACE, format_number
from synthcxr.report.section import Row, Section, Table
from synthcxr.report.text import format_estimate, format_share, format_share_estimate, name_space_in_heading

PAIRS_ANCHOR = "closest-pairs"
_SPACES = (
    "Space",
    "Closer than 99 % of comparison films (95 % CI; 1 % expected)",
    "Closer than all comparison films",
    "Median ratio (95 % CI; 1 expected)",
    "Planted copies detected",
    "Membership inference, AUROC (95 % CI; 0.5 expected)",
    "Duplicates (95 % CI; 1 % expected)",
)
_PAIRS = ("Image", "Film (manifest row)", "Distance", "Comparison films that are closer")

_METHOD = (
    "Each image is compared with its nearest training film. Comparison films are compared in the same way: held-out"
    " films, which the generator did not learn from, and, for a source without held-out films, training films, each"
    " compared with those of other patients. An image is flagged if it is closer than 99 % of the comparison films.",
    "A higher share of flagged images than expected, or an AUROC whose interval is above 0.5, may mean copying; look at"
    " the closest pairs. A higher share of duplicates means that the generator repeats itself. Pixels are compared"
    " without regard to small shifts, brightness and contrast.",
)


def build_memorisation_section(metrics: MetricsJson, sharing: Answer) -> Section:
    """The section. Its conclusion is the reasons of the answer `sharing`; the pairs are those of a flagged space."""
    names, spaces = metrics.get("names", {}), read_computed_spaces(metrics)
    flagged = list_flagged_spaces(metrics)
    space = next(iter([name for name in flagged if spaces[name].get("pairs")] or [PIXELS]))
    pairs = _tabulate_pairs(spaces.get(space))
    rows = tuple(_tabulate_space(name_space_in_heading(name, names), row) for name, row in spaces.items())
    title = f"Closest pairs in {name_space(space)}"
    return Section(
        title="Copies of training films",
        conclusion=_conclude(sharing),
        notes=_build_notes(metrics),
        table=Table(_SPACES, rows) if spaces else None,
        subsections=(
            () if pairs is None else (Section(title, table=pairs, is_folded=not flagged, anchor=PAIRS_ANCHOR),)
        ),
        method=_METHOD if spaces else (),
    )


def _conclude(sharing: Answer) -> str:
    """All reasons of a clear answer; the first reason of one that is open."""
    sentences = [reason.sentence for reason in sharing.reasons if reason.state == sharing.state]
    return " ".join(sentences[:1] if sharing.state == "open" else sentences)


def _build_notes(metrics: MetricsJson) -> tuple[str, ...]:
    """The limit of the test, and why a space is not in the table; nothing where no space was examined."""
    spaces = read_computed_spaces(metrics)
    if not spaces:
        return ()
    detection, missed = describe_detection(spaces), list_missed_kinds(spaces)
    shown = f"Smallest share of copies that would show {POWER}: {detection or 'none'}."
    return (
        f"{shown} Fewer copies can stay undetected. No figure here proves privacy.",
        *([f"Not detectable: {'; '.join(missed)}."] if missed else []),
        *(
            f"{name_space_in_heading(space, metrics.get('names', {}))}: {row['status']}."
            for space, row in privacy_spaces(metrics.get("privacy", {})).items()
            if not is_computed(row)
        ),
    )


def _tabulate_pairs(row: PrivacyRow | None) -> Table | None:
    rows = tuple(
        (pair["image"], str(pair["film"]), format_number(pair["distance"]), format_share(pair["rank"]))
        for pair in ([] if row is None else row["pairs"])
    )
    return Table(_PAIRS, rows) if rows else None


def _tabulate_space(name: str, row: PrivacyRow) -> Row:
    attack, duplicates = row["attack"], row["duplicates"]
    recalls = (f"{kind}{NO_BREAK_SPACE}{format_share(recall['share'])}" for kind, recall in row["found"].items())
    return (
        name,
        format_share_estimate(row["share"], row["share_interval"]),
        f"{row['n_below_null']:,} of {row['n']:,}",
        format_estimate(row["median_ratio"], row["median_ratio_interval"]),
        ", ".join(recalls),
        format_estimate(attack["auroc"], attack["interval"]),
        format_share_estimate(duplicates["share"], duplicates["share_interval"]),
    )
