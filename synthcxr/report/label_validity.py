"""The section on what the labels of the images are worth: validity, specificity, co-findings, variety and weights."""

from __future__ import annotations

from collections.abc import Sequence

from synthcxr.data.findings import FINDINGS
from synthcxr.data.metrics_rows import LabelRatioRow
from synthcxr.data.metrics_schema import (
    CoFindingsSection,
    LabelRatioSection,
    MetricsJson,
    cofindings_rows,
    is_computed,
    label_ratio_rows,
)
from synthcxr.data.number_format import format_count, format_decimals, format_number, format_percent
from synthcxr.report.section import Row, Section, Table
from synthcxr.report.text import format_estimate, format_share, format_share_estimate, spell_finding

_RATIOS = (
    "Finding",
    "Validity (95 % CI)",
    "Specificity (95 % CI)",
    "AUROC on films",
    "AUROC on images",
    "Positive films",
    "Labelled images",
    "Remark",
)
_COFINDINGS = (
    "Finding",
    "Findings per image",
    "Findings per film",
    "Most frequent with it on images",
    "The same on films",
)


def build_validity_section(metrics: MetricsJson, requested: Sequence[str]) -> Section | None:
    """The section, with the `requested` findings first; None for results of a version that did not measure it."""
    labels = metrics.get("labels", {})
    validity, specificity = labels.get("validity"), labels.get("specificity")
    if validity is None or specificity is None:
        return None
    notes = (*_describe_ratios(validity, specificity), *_describe_variety(metrics))
    cofindings = _tabulate_cofindings(metrics.get("cofindings", {}), requested)
    return Section(
        title="Do the labels of the images mean what they mean on films?",
        introduction=(
            "Validity compares how well the judge separates images with and without a label with how well it separates"
            " real films: 1 is as on films, 0 is not at all, below 0 is the wrong way round. Specificity is the same"
            " against images and films that show other findings."
        ),
        notes=notes,
        table=_tabulate_ratios(validity, specificity, requested),
        subsections=(Section("Findings that occur together", table=cofindings),) if cofindings else (),
    )


def _tabulate_ratios(
    validity: LabelRatioSection, specificity: LabelRatioSection, requested: Sequence[str]
) -> Table | None:
    """A row for each finding that some image is labelled with."""
    rows, others = label_ratio_rows(validity), label_ratio_rows(specificity)
    names = [name for name in FINDINGS if name in rows and rows[name]["n_synthetic_positive"]]
    table = tuple(
        (
            spell_finding(name) + (" (requested)" if name in requested else ""),
            format_estimate(rows[name]["value"], rows[name]["interval"]),
            format_estimate(others[name]["value"], others[name]["interval"]),
            format_decimals(rows[name]["real"], decimals=2),
            format_decimals(rows[name]["synthetic"], decimals=2),
            format_count(rows[name]["n_real_positive"]),
            format_count(rows[name]["n_synthetic_positive"]),
            _remark(rows[name], others[name]),
        )
        for name in sorted(names, key=lambda name: name not in requested)
    )
    return Table(_RATIOS, table) if table else None


def _remark(validity: LabelRatioRow, specificity: LabelRatioRow) -> str:
    remarks = []
    if not is_computed(validity):
        remarks.append(validity["status"])
    elif not is_computed(specificity):
        remarks.append(f"specificity: {specificity['status']}")
    if validity["exaggerates"]:
        remarks.append("exaggerated: more obvious than on films")
    if not validity["gated"]:
        remarks.append("few positive films: reported, not gated")
    return "; ".join(remarks)


def _describe_ratios(validity: LabelRatioSection, specificity: LabelRatioSection) -> list[str]:
    if not is_computed(validity):
        return [f"Validity and specificity: {validity['status']}."]
    means = [
        format_estimate(section["mean"], section["mean_interval"], in_text=True)  # type: ignore[arg-type]
        for section in (validity, specificity)
    ]
    return [f"Mean over the findings that can be gated: validity {means[0]}, specificity {means[1]}."]


def _describe_variety(metrics: MetricsJson) -> list[str]:
    notes = []
    cofindings, variety, weights = metrics.get("cofindings"), metrics.get("variety"), metrics.get("weights")
    if cofindings is not None:
        notes.append(
            f"Findings per image {format_number(cofindings['synthetic'])}, "  # type: ignore[arg-type]
            f"per real film {format_number(cofindings['real'])}."  # type: ignore[arg-type]
        )
    if variety is not None and is_computed(variety):
        share = format_share_estimate(variety["near_duplicates"], variety["near_duplicates_interval"], in_text=True)
        real_share = format_percent(variety["real_near_duplicates"])
        notes.append(
            f"Near-duplicates of another image: {share}; of real films {real_share}."
            f" The median image correlates with the one most like it at {format_number(variety['correlation'])}, the"
            f" median film with that of another patient at {format_number(variety['real_correlation'])}."
        )
    if weights is not None and weights["effective_share"] < 1:
        notes.append(
            f"Effective sample size of the weights: {format_number(weights['effective_size'])} of"
            f" {format_count(weights['n'])} images ({format_percent(weights['effective_share'], digits=2)}). A weighted"
            " estimate depends on no more images than that."
        )
    return notes


def _tabulate_cofindings(section: CoFindingsSection, requested: Sequence[str]) -> Table | None:
    rows_by_finding = cofindings_rows(section)
    names = sorted(rows_by_finding, key=lambda name: name not in requested)
    rows: list[Row] = []
    for name in names:
        row = rows_by_finding[name]
        companions = row["companions"]
        rows.append(
            (
                spell_finding(name) + (" (requested)" if name in requested else ""),
                format_number(row["synthetic"]),
                format_number(row["real"]),
                ", ".join(f"{spell_finding(c['finding'])} {format_share(c['synthetic'])}" for c in companions),
                ", ".join(f"{spell_finding(c['finding'])} {format_share(c['real'])}" for c in companions),
            )
        )
    return Table(_COFINDINGS, tuple(rows)) if rows else None
