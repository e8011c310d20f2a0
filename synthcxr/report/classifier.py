"""The section on the classifier that labelled the images: agreement with the judge, and AUROC on real films."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from synthcxr.data.findings import FINDINGS
from synthcxr.data.metrics_rows import AgreementRow
from synthcxr.data.metrics_schema import AgreementSection, ClassifierAuroc, MetricsJson, agreement_rows, is_computed
from synthcxr.data.number_format import format_count
from synthcxr.report.section import Section, Table
from synthcxr.report.text import format_auroc, format_share_estimate, mark_not_judged, spell_finding

_AGREEMENT = (
    "Label of the classifier",
    "Images: judge agrees (95 % CI)",
    "N images",
    "Real films: judge agrees (95 % CI)",
    "N films",
)
_AUROC = ("Finding", "AUROC on real test films (95 % CI)", "Positive films")


def build_classifier_section(metrics: MetricsJson, requested: Sequence[str]) -> Section | None:
    """The section, with the `requested` findings first; None where `evaluate` measured neither part."""
    agreement, auroc = metrics.get("agreement"), metrics.get("classifier")
    notes = ([] if not agreement else _describe_agreement(agreement)) + ([] if not auroc else _describe_auroc(auroc))
    if not notes:
        return None
    subsections = (
        ("Agreement of the judge with the classifier", _tabulate_agreement(agreement or {}, requested)),
        ("AUROC of the classifier on real films", _tabulate_auroc(auroc)),
    )
    return Section(
        title="The classifier that labelled the images",
        conclusion=notes[0],
        notes=tuple(notes[1:]),
        subsections=tuple(
            Section(title, table=table, is_folded=True) for title, table in subsections if table is not None
        ),
    )


def _tabulate_agreement(agreement: AgreementSection, requested: Sequence[str]) -> Table | None:
    """A row for each finding that the classifier gave to an image."""
    rows_by_finding = agreement_rows(agreement)
    labelled = [name for name in FINDINGS if name in rows_by_finding and rows_by_finding[name]["n_synthetic"]]
    rows = tuple(
        (
            spell_finding(name)
            + (" (requested)" if name in requested else "")
            + mark_not_judged(rows_by_finding[name]),
            _format_agreement(rows_by_finding[name], "synthetic"),
            format_count(rows_by_finding[name]["n_synthetic"]),
            _format_agreement(rows_by_finding[name], "real"),
            format_count(rows_by_finding[name]["n_real"]),
        )
        for name in sorted(labelled, key=lambda name: name not in requested)
    )
    return Table(_AGREEMENT, rows) if rows else None


def _tabulate_auroc(auroc: ClassifierAuroc | None) -> Table | None:
    """A row for each finding with enough positive test films."""
    estimates = {} if auroc is None else auroc.get("auroc", {})
    rows = tuple(
        (spell_finding(name), format_auroc(estimate), format_count(estimate["n_positive"]))
        for name, estimate in estimates.items()
    )
    return Table(_AUROC, rows) if rows else None


def _describe_agreement(agreement: AgreementSection) -> list[str]:
    if agreement["status"] != "computed":
        return [f"Agreement of judge and classifier: {agreement['status']}."]
    has_mark = any(mark_not_judged(row) for row in agreement_rows(agreement).values())
    return [
        "Where the judge agrees less often on images than on real films, the images satisfy the classifier without"
        " showing the finding to the judge. A dash means fewer than 10 images or films."
        + (" * The threshold is based on too few val films." if has_mark else "")
    ]


def _describe_auroc(auroc: ClassifierAuroc) -> list[str]:
    if not is_computed(auroc):
        return [f"AUROC of the classifier: {auroc['status']}."]
    overall, within_source, source_and_view = (
        format_auroc(estimate, in_text=True)
        for estimate in (auroc["mean_auroc"], auroc["within_source"], auroc["source_and_view_alone"])
    )
    return [
        f"Mean AUROC of the classifier on {format_count(auroc['n_films'])} real test films: {overall}. Within films of"
        f" one source: {within_source}. From source and view alone, without any pixel: {source_and_view}."
    ]


def _format_agreement(row: AgreementRow, side: Literal["real", "synthetic"]) -> str:
    if side == "real":
        return format_share_estimate(row["real"], row["real_interval"])
    return format_share_estimate(row["synthetic"], row["synthetic_interval"])
