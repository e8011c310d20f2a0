"""The section on label validity: whether the labels of the images mean what they mean on films, by finding."""

from __future__ import annotations

from collections.abc import Sequence

from synthcxr.data.evidence.label_faults import list_usable_findings, read_label_ratios
from synthcxr.data.evidence.label_quality import VALIDITY_FACT, judge_label_quality
from synthcxr.data.metrics_rows import LabelRatioRow
from synthcxr.data.metrics_schema import MetricsJson, cofindings_rows, is_computed, label_ratio_rows
from synthcxr.data.number_format import format_count, format_number
from synthcxr.report import plots
from synthcxr.report.section import Plot, Row, Section, Table
from synthcxr.report.text import format_estimate, format_share, format_share_estimate, spell_finding

_HEADINGS = (
    "Finding",
    "Validity (95 % CI)",
    "Specificity (95 % CI)",
    "AUROC on images (95 % CI)",
    "AUROC on films (95 % CI)",
    "Images / films with it",
)
_COMPANION_HEADINGS = ("Finding", "Findings per image", "Findings per film", "Most frequent companions (on films)")
_MAX_SMALL_ROWS = 8
_METHOD = (
    "Validity is (AUROC of the judge on images - 0.5) / (its AUROC on films - 0.5): 1 means that the judge separates"
    " the images by their labels as it separates films by theirs, 0 that the labels mean nothing, below 0 that they are"
    " the wrong way round, and far above 1 that the images exaggerate the finding.",
    "Specificity is the same ratio against images, and films, that carry other findings: labels that only mean abnormal"
    " have validity and no specificity. No threshold enters, so the judge's calibration has no influence.",
)


def build_label_validity_section(metrics: MetricsJson, requested: Sequence[str]) -> Section | None:
    """The section, with the `requested` findings first; None where `evaluate` did not measure validity."""
    section = metrics["labels"].get("validity")
    if section is None:
        return None
    ordered = sorted(label_ratio_rows(section), key=lambda finding: finding not in requested)
    specificity = label_ratio_rows(metrics["labels"].get("specificity") or {})
    computed = read_label_ratios(metrics, "validity")
    all_rows = label_ratio_rows(section)
    shown = [finding for finding in ordered if finding in computed or finding in requested]
    absent = [finding for finding in ordered if finding not in shown and not all_rows[finding]["n_synthetic_positive"]]
    without_value = [finding for finding in ordered if finding not in shown and finding not in absent]
    rows, unknown = (
        tuple(_tabulate(finding, all_rows[finding], specificity.get(finding), requested) for finding in findings)
        for findings in (shown, without_value)
    )
    parts = (
        Section("Findings on one image", table=_tabulate_companions(metrics, requested)),
        Section("Findings without a value", table=Table(_HEADINGS, unknown) if unknown else None, is_folded=True),
    )
    plot = build_validity_plot(metrics, requested)
    faults = [reason.sentence for reason in judge_label_quality(metrics, requested)]
    return Section(
        title="Do the labels mean what they say?",
        conclusion=_conclude(metrics, requested, str(section.get("status", ""))),
        plots=() if plot is None else (plot,),
        notes=(*faults, *_name_absent(absent), *_describe_variety(metrics)),
        table=Table(_HEADINGS, rows) if rows else None,
        subsections=tuple(part for part in parts if part.table is not None),
        method=_METHOD,
    )


def build_validity_plot(metrics: MetricsJson, requested: Sequence[str], *, is_small: bool = False) -> Plot | None:
    """Validity and specificity by finding as a chart; None where no finding has a value."""
    validity, specificity = read_label_ratios(metrics, "validity"), read_label_ratios(metrics, "specificity")
    ordered = sorted(validity, key=lambda finding: finding not in requested)[: _MAX_SMALL_ROWS if is_small else None]
    if not ordered:
        return None
    values = "; ".join(f"{spell_finding(name)} {format_number(validity[name]['value'])}" for name in ordered)
    svg = plots.draw_label_ratios(
        {finding: (validity[finding], specificity.get(finding)) for finding in ordered}, is_small=is_small
    )
    return Plot.from_svg(svg, title=VALIDITY_FACT, alt=f"Label validity: {values}")


def _name_absent(findings: Sequence[str]) -> list[str]:
    """The findings that no image is labelled with, in one line."""
    names = ", ".join(map(spell_finding, findings))
    return [f"Not tested, because no image is labelled with them: {names}."] if findings else []


def _conclude(metrics: MetricsJson, requested: Sequence[str], status: str) -> str:
    usable = ", ".join(map(spell_finding, list_usable_findings(metrics, requested)))
    if usable:
        return f"The labels separate images much as they separate films for: {usable}."
    if read_label_ratios(metrics, "validity"):
        return "No label that was tested separates the images as it separates films."
    return f"It is not known whether the labels mean what they say: {status}."


def _describe_variety(metrics: MetricsJson) -> list[str]:
    variety = metrics.get("variety")
    if variety is None or not is_computed(variety):
        return []
    share = format_share_estimate(variety["near_duplicates"], variety["near_duplicates_interval"], in_text=True)
    median, real_median = format_number(variety["correlation"]), variety["real_correlation"]
    real = variety["real_near_duplicates"]
    films = "" if real is None else f"; of real films {format_share(real)}"
    film = (
        "" if real_median is None else f", the median film with that of another patient at {format_number(real_median)}"
    )
    return [
        f"Almost identical to another image (correlation of 0.98 or more at 32 px): {share}{films}. The median image"
        f" correlates with the one most like it at {median}{film}."
    ]


def _tabulate(finding: str, row: LabelRatioRow, specificity: LabelRatioRow | None, requested: Sequence[str]) -> Row:
    marks = (" (requested)" if finding in requested else "") + ("" if row["gated"] else " *")
    return (
        spell_finding(finding) + marks,
        row["status"] if row["value"] is None else format_estimate(row["value"], row["interval"]),
        "" if specificity is None else format_estimate(specificity["value"], specificity["interval"]),
        format_estimate(row["synthetic"], row["synthetic_interval"]),
        format_estimate(row["real"], row["real_interval"]),
        f"{format_count(row['n_synthetic_positive'])} / {format_count(row['n_real_positive'])}",
    )


def _tabulate_companions(metrics: MetricsJson, requested: Sequence[str]) -> Table | None:
    rows = cofindings_rows(metrics.get("cofindings", {}))
    ordered = sorted(rows, key=lambda finding: finding not in requested)
    cells = tuple(
        (
            spell_finding(finding),
            format_number(rows[finding]["synthetic"]),
            format_number(rows[finding]["real"]),
            ", ".join(
                f"{spell_finding(companion['finding'])} {format_share(companion['synthetic'])}"
                f" ({format_share(companion['real'])})"
                for companion in rows[finding]["companions"]
            ),
        )
        for finding in ordered
    )
    return Table(_COMPANION_HEADINGS, cells) if cells else None
