"""The section on copies of training films: the figures of each space, and the closest pairs as numbers."""

from __future__ import annotations

from collections.abc import Mapping

from synthcxr.data.metrics_rows import PrivacyRow
from synthcxr.data.metrics_schema import PIXELS, MetricsJson, PrivacySection, is_computed, privacy_spaces
from synthcxr.data.number_format import NO_BREAK_SPACE, format_number
from synthcxr.report.section import Row, Section, Table
from synthcxr.report.text import format_estimate, format_share, format_share_estimate, name_space

_SPACES = (
    "Space",
    "Closer than 99 % of held-out films (95 % CI)",
    "Closer than all held-out films",
    "Median ratio (95 % CI)",
    "Planted copies detected",
    "Membership inference, AUROC (95 % CI)",
    "Duplicates (95 % CI)",
)
_PAIRS = ("Image", "Film (manifest row)", "Distance", "Held-out films that are closer")

_METHOD = (
    "Expected without copying: 1 % of the images closer to a training film than 99 % of the held-out films are,"
    " median ratio 1, membership-inference AUROC 0.5 and 1 % duplicates.",
    "A higher share in the first column, or an AUROC whose interval is above 0.5, may mean copying; look at the closest"
    " pairs. A higher share of duplicates means that the generator repeats itself.",
)


def build_memorisation_section(metrics: MetricsJson, conclusion: str) -> Section:
    """The section; the closest pairs are those in pixels. `conclusion` is its one sentence."""
    privacy, names = metrics.get("privacy", {}), metrics.get("names", {})
    spaces = _computed_spaces(privacy)
    pairs = _tabulate_pairs(spaces.get(PIXELS))
    rows = tuple(_tabulate_space(name_space(space, names), row) for space, row in spaces.items())
    title = "Closest pairs in pixels"
    return Section(
        title="Copies of training films",
        conclusion=conclusion,
        notes=_build_notes(privacy, names),
        table=Table(_SPACES, rows) if spaces else None,
        subsections=() if pairs is None else (Section(title, table=pairs, is_folded=True),),
        method=_METHOD if spaces else (),
    )


def _build_notes(privacy: PrivacySection, names: Mapping[str, str]) -> tuple[str, ...]:
    """The limit of the test, and why a space is not in the table."""
    spaces = _computed_spaces(privacy)
    reasons = [
        f"{name_space(space, names)}: {row['status']}."
        for space, row in privacy_spaces(privacy).items()
        if not is_computed(row)
    ]
    if not spaces:
        return tuple(dict.fromkeys(reasons)) or ("It was not tested whether images copy training films.",)
    detectable = max(row["detectable"] or 1.0 for row in spaces.values())
    return (
        f"A dataset of this size reveals copies if they are at least {format_share(detectable)} of it; fewer copies can"
        " stay undetected. No figure here proves privacy.",
        *reasons,
    )


def _tabulate_pairs(pixels: PrivacyRow | None) -> Table | None:
    rows = tuple(
        (pair["image"], str(pair["film"]), format_number(pair["distance"]), format_share(pair["rank"]))
        for pair in ([] if pixels is None else pixels["pairs"])
    )
    return Table(_PAIRS, rows) if rows else None


def _computed_spaces(privacy: PrivacySection) -> dict[str, PrivacyRow]:
    return {space: row for space, row in privacy_spaces(privacy).items() if is_computed(row)}


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
