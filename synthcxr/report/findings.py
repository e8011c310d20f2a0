"""The section on findings: their shares in films and images by the judge, the test of a difference, and pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.data.metrics_rows import PrevalenceRow, ShareRow
from synthcxr.data.metrics_schema import Labels, Prevalence, is_computed
from synthcxr.data.number_format import format_count, format_decimals, format_number, format_percent
from synthcxr.report import plots
from synthcxr.report.section import Plot, Row, Section, Table
from synthcxr.report.text import format_estimate, format_share, format_share_estimate, spell_finding

_HEADINGS = (
    "Finding",
    "Real films (95 % CI)",
    "Synthetic images (95 % CI)",
    "Synthetic / real (95 % CI)",
    "Positive real films",
)


def build_findings_section(labels: Labels, cooccurrence: pd.DataFrame) -> Section:
    """The section; `cooccurrence` is the table of curves/cooccurrence.csv, empty where there is none."""
    plotted = (_build_shares_plot(_select_present(labels)), _build_cooccurrence_plot(cooccurrence))
    return Section(
        title="Findings in real films and in synthetic images",
        conclusion=_conclude(labels),
        plots=tuple(plot for plot in plotted if plot is not None),
        notes=_build_notes(labels),
        table=_build_table(labels),
        method=(
            "The judge labels real films and synthetic images at the same thresholds. It was trained on other patients"
            " than the classifier that labelled the dataset.",
        ),
    )


def _conclude(labels: Labels) -> str:
    if not is_computed(labels):
        return f"Shares of findings: {labels['status']}."
    variation = format_number(labels["total_variation"])
    return (
        f"The label distributions of images and films have a total variation of {variation} (0: equal; 1: no overlap)."
    )


def order_shares(labels: Labels) -> dict[str, ShareRow]:
    """The shares of all findings: No Finding first, then from common to rare in real films."""
    return dict(sorted(labels["shares"].items(), key=lambda item: (item[0] != NO_FINDING, -(item[1]["real"] or 0))))


def _select_present(labels: Labels) -> dict[str, ShareRow]:
    """The shares of the findings on at least one film or image."""
    return {name: share for name, share in order_shares(labels).items() if share["real"] or share["synthetic"]}


def _build_table(labels: Labels) -> Table | None:
    not_judged, prevalence = set(labels["not_judged"]), labels.get("prevalence")
    rows = tuple(
        (
            spell_finding(name) + (" *" if name in not_judged else ""),
            format_share_estimate(share["real"], share["real_interval"]),
            format_share_estimate(share["synthetic"], share["synthetic_interval"]),
            format_estimate(share["ratio"], share["ratio_interval"]),
            format_count(share["n_real_positive"]),
            *(() if prevalence is None else _prevalence_cells(prevalence["shares"][name])),
        )
        for name, share in _select_present(labels).items()
    )
    if not rows:
        return None
    reference = () if prevalence is None else (prevalence["name"], f"Synthetic / {prevalence['name']} (95 % CI)")
    return Table((*_HEADINGS, *reference), rows)


def _prevalence_cells(share: PrevalenceRow) -> Row:
    return format_share(share["reference"]), format_estimate(share["ratio"], share["ratio_interval"])


def _build_notes(labels: Labels) -> tuple[str, ...]:
    """The divergences, the test, and the findings that enter no gate; or why there is nothing to compare."""
    prevalence = _describe_prevalence(labels.get("prevalence"))
    if not is_computed(labels):
        return prevalence
    notes = [
        f"Jensen-Shannon divergence {format_number(labels['jensen_shannon'])}; Kullback-Leibler divergence"
        f" {format_number(labels['kl'])}."
    ]
    if "n_real" in labels:
        n_synthetic, n_real = format_count(labels["n_synthetic"]), format_count(labels["n_real"])
        notes.append(f"N = {n_synthetic} synthetic images and {n_real} real films.")
    if "test" in labels:
        test = labels["test"]
        notes.append(
            f"Permutation test of equal shares: p = {format_number(test['p_value'])}. Effect size: {test['effect']},"
            f" Cramér's V {format_number(test['cramers_v'])} (0: no difference; 1: complete difference). With many"
            " images, a tiny V also has a small p."
        )
    if "cooccurrence" in labels:
        points = format_decimals(100 * labels["cooccurrence"]["difference"], decimals=1)
        notes.append(
            "The shares of films and of images with both of two findings differ by"
            f" {points} percentage points on average over all pairs."
        )
    notes += prevalence
    present = _select_present(labels)
    if absent := [spell_finding(name) for name in order_shares(labels) if name not in present]:
        notes.append(f"On no film and no image, by the judge: {', '.join(absent)}.")
    if labels["not_judged"]:
        names = ", ".join(map(spell_finding, labels["not_judged"]))
        notes.append(
            f"* Too few val films to choose a threshold. These findings are listed but enter no gate: {names}."
        )
    return tuple(notes)


def _describe_prevalence(prevalence: Prevalence | None) -> tuple[str, ...]:
    if prevalence is None:
        return ()
    return (
        f"Compared with {prevalence['name']}: total variation {format_number(prevalence['total_variation'])},"
        f" Jensen-Shannon divergence {format_number(prevalence['jensen_shannon'])}. The judge did not give those"
        " labels, so these figures include differences in labelling.",
    )


def _build_shares_plot(shares: dict[str, ShareRow]) -> Plot | None:
    if not shares:
        return None
    plotted = {name: share for name, share in shares.items() if name != NO_FINDING}
    alt = "; ".join(
        f"{spell_finding(name)} real {_format_alt(share['real'])}, synthetic {_format_alt(share['synthetic'])}"
        for name, share in plotted.items()
    )
    return Plot.from_svg(
        plots.draw_label_shares(plotted), title="Share of images with each finding", alt=f"Share of images: {alt}"
    )


def _build_cooccurrence_plot(cooccurrence: pd.DataFrame) -> Plot | None:
    if cooccurrence.empty:
        return None
    matrices = []
    for side in ("real", "synthetic"):
        pivot = cooccurrence.pivot_table(side, "finding", "with").reindex(FINDINGS)[list(FINDINGS)].fillna(0.0)
        upper = np.triu(pivot.to_numpy())
        matrices.append(upper + np.triu(upper, k=1).T)
    present = np.flatnonzero((matrices[0] + matrices[1]).any(axis=0))
    if len(present) < 2:
        return None
    pairs = cooccurrence[cooccurrence["finding"] != cooccurrence["with"]]
    extreme = pairs.iloc[int((pairs["synthetic"] - pairs["real"]).abs().to_numpy().argmax())]
    alt = (
        "Share of images with both of two findings. The pair that differs most is"
        f" {spell_finding(extreme['finding'])} with {spell_finding(extreme['with'])}:"
        f" real {_format_alt(extreme['real'])}, synthetic {_format_alt(extreme['synthetic'])}"
    )
    return Plot.from_svg(
        plots.draw_cooccurrence(
            [FINDINGS[k] for k in present], *(matrix[np.ix_(present, present)] for matrix in matrices)
        ),
        title="Findings that occur together",
        alt=alt,
        is_wide=True,
    )


def _format_alt(share: float | None) -> str:
    return format_percent(share, missing="unknown")
