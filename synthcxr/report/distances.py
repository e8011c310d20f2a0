"""The section on Fréchet distances to real films, in the features of each extractor and by finding."""

from __future__ import annotations

from collections.abc import Mapping

from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.data.metrics_rows import DistanceRow, FindingDistanceRow
from synthcxr.data.metrics_schema import FindingDistances, MetricsJson, finding_distances, is_computed
from synthcxr.data.model_names import name_features, name_network
from synthcxr.data.number_format import format_count, format_number
from synthcxr.report.optional_experiments import Experiments, build_reliability_section
from synthcxr.report.other_metrics import build_diversity_section, build_metrics_section
from synthcxr.report.section import Row, Section, Table
from synthcxr.report.text import format_estimate, mark_not_judged, spell_finding

_HEADINGS = (
    "Features",
    "Fréchet distance (95 % CI)",
    "Floor: training films to test films",
    "Relative (95 % CI)",
    "N synthetic / train / test",
)
_BY_FINDING_HEADINGS = ("Finding", *_HEADINGS)


def build_distance_section(metrics: MetricsJson, experiments: Experiments) -> Section:
    """The section, with subsections on diversity, on findings, and on the reliability of the distances."""
    names = metrics.get("names", {})
    computed = {name: row for name, row in metrics["distance"].items() if is_computed(row)}
    notes = [
        f"{name_network(name, names)}: {row['status']}."
        for name, row in metrics["distance"].items()
        if name not in computed
    ]
    relative = [
        _describe_relative(name_features(name, names), row, has_films=bool(metrics["n_real_test"]))
        for name, row in computed.items()
    ]
    subsections = (
        build_diversity_section(metrics),
        build_metrics_section(metrics),
        _build_by_finding_section(metrics.get("by_finding", {}), names),
        build_reliability_section(experiments.disturb, names),
    )
    return Section(
        title="Distance to real films",
        conclusion=relative[0] if relative else "The distance to real films is not known.",
        notes=(*relative[1:], *notes),
        table=(
            Table(_HEADINGS, tuple(_tabulate(name_network(name, names), row) for name, row in computed.items()))
            if computed
            else None
        ),
        subsections=tuple(section for section in subsections if section is not None),
    )


def list_extractors(metrics: MetricsJson) -> tuple[Row, ...]:
    """The name, digest and resize rule of every extractor that gave a distance."""
    return tuple(
        (
            name_network(name, metrics.get("names", {})),
            f"{row['extractor']}, digest {row['digest']}, resize: {row['resize']}",
        )
        for name, row in metrics["distance"].items()
        if is_computed(row)
    )


def _tabulate(extractor: str, row: DistanceRow) -> Row:
    return (
        extractor,
        format_estimate(row["value"], row["interval"]),
        f"{format_number(row['floor'])} (n = {format_count(row['floor_n'])})",
        format_estimate(row["relative"], row["relative_interval"]),
        f"{format_count(row['n_synthetic'])} / {format_count(row['n_train'])} / {format_count(row['n_test'])}",
    )


def _describe_relative(features: str, row: DistanceRow, *, has_films: bool) -> str:
    if row["relative"] is None:
        return f"In {features}, there is no relative distance, because the floor has another number of images."
    films = "the test films" if has_films else "the val films of the reference stored with the model"
    return (
        f"In {features}, synthetic images are {format_number(row['relative'])} times as far from {films}"
        " as training films are (1: as close as real films)."
    )


def _build_by_finding_section(by_finding: dict[str, FindingDistances], names: Mapping[str, str]) -> Section | None:
    """A row for each finding and extractor with enough images and films; None where there is none."""
    sections = {extractor: finding_distances(section) for extractor, section in by_finding.items()}
    rows = tuple(
        _tabulate_finding(finding, name_network(extractor, names), section[finding])
        for finding in (NO_FINDING, *FINDINGS)
        for extractor, section in sections.items()
        if finding in section and is_computed(section[finding])
    )
    title = "Distance by finding, as labelled by the judge"
    return Section(title, table=Table(_BY_FINDING_HEADINGS, rows), is_folded=True) if rows else None


def _tabulate_finding(finding: str, extractor: str, row: FindingDistanceRow) -> Row:
    return (
        spell_finding(finding) + mark_not_judged(row),
        extractor,
        format_estimate(row["value"], row["interval"]),
        format_number(row["floor"]),
        format_estimate(row["relative"], row["relative_interval"]),
        f"{format_count(row['n_synthetic'])} / {format_count(row['n_train'])} / {format_count(row['n_test'])}",
    )
