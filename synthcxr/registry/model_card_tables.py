"""The tables of a model card: distances, coverage, memorisation, scores of a classifier, by what `evaluate` found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def distances(metrics: Mapping[str, Any]) -> str:
    """The Frechet distances and, where labels were compared, the total variation."""
    rows = [
        "| distance to test films | value [95 %] | real-real floor | relative [95 %] | N synthetic / train / test |",
        "|---|---|---|---|---|",
    ]
    for extractor, found in sorted(metrics.get("distance", {}).items()):
        if found.get("status") != "computed":
            rows.append(f"| {extractor} | {found.get('status', 'not computed')} | | | |")
            continue
        rows.append(
            f"| Frechet, {extractor} features | {_number(found.get('value'))} {_interval(found.get('interval'))}"
            f" | {_number(found.get('floor'))} (N {found.get('floor_n')})"
            f" | {_number(found.get('relative'))} {_interval(found.get('relative_interval'))}"
            f" | {found.get('n_synthetic')} / {found.get('n_train')} / {found.get('n_test')} |"
        )
    table, variation = "\n".join(rows), metrics.get("labels", {}).get("total_variation")
    if variation is None:
        return table
    return (
        f"{table}\n\nTotal variation of the label distribution from real test films: {_number(variation)}"
        f" ({metrics.get('n_synthetic')} synthetic images, {metrics.get('n_real_test')} real test films)."
    )


def coverage(metrics: Mapping[str, Any]) -> str:
    """How much of the test films' variety images cover, as a share of what training films do; "" if not measured."""
    held = [
        f"{_number(found.get('relative'))} {_interval(found.get('relative_interval'))} in {extractor} features"
        for extractor, found in sorted(metrics.get("coverage", {}).items())
        if found.get("status") == "computed"
    ]
    return f"Coverage of test films, as a share of that of training films: {', '.join(held)}." if held else ""


def memorisation(metrics: Mapping[str, Any]) -> str:
    """How near images lie to films learned from, against held-out films, in each space; "" where none was measured."""
    rows = []
    for space, found in _spaces(metrics):
        attack = found.get("attack", {})
        rows.append(
            f"| {space} | {_percent(found.get('share'))} {_percents(found.get('share_interval'))}"
            f" | {_percent(found.get('detectable'))}"
            f" | {_number(found.get('median_ratio'))} {_interval(found.get('median_ratio_interval'))}"
            f" | {_number(attack.get('auroc'))} {_interval(attack.get('interval'))}"
            f" | {found.get('n')} / {found.get('n_learned')} / {found.get('n_null')} |"
        )
    if not rows:
        return ""
    header = [
        "| memorisation | nearer than the null's 1st percentile [95 %] | smallest share noticed | median ratio [95 %]"
        " | membership inference, AUROC [95 %] | N synthetic / learned / held out |",
        "|---|---|---|---|---|---|",
    ]
    return (
        "\n".join(header + rows)
        + "\n\nDistances to the nearest film learned from; the null is that of held-out films. 1 % would lie below its"
        " 1st percentile by chance, and an AUROC of 0.5 tells members from others no better than a coin."
    )


def surpluses(metrics: Mapping[str, Any]) -> list[str]:
    """A limit for each space in which more images lie near to films learned from than chance has it."""
    return [
        f"- In {space}, {_percent(found['share'])} of the images lie nearer to a film learned from than 99 in 100"
        f" held-out films do, at the least {_percent(found['share_low'])}:"
        f" more than the {_percent(found['expected'])} of chance."
        for space, found in _spaces(metrics)
        if found.get("share_low", 0) > found.get("expected", 1)
    ]


def ranking(metrics: Mapping[str, Any]) -> str:
    """The classifier's mean AUROC on test films, within each source, and what needs no pixel; "" if not measured."""
    found = metrics.get("classifier", {})
    if found.get("status") != "computed":
        return ""
    mean, within, alone = (
        f"{_number(found[name]['value'])} {_interval(found[name]['interval'])}"
        for name in ("mean_auroc", "within_source", "source_and_view_alone")
    )
    return (
        f"On {found['n_films']} test films of {found['n_patients']} patients, mean AUROC [95 %] of"
        f" {', '.join(found['findings'])}: {mean}; the same within each source of films: {within}; source and view"
        f" alone, no pixel seen, reach {alone}."
    )


def scores(scores: Mapping[str, Any]) -> str:
    """AUROC and average precision of each finding."""
    rows = ["| finding | AUROC [95 %] | average precision [95 %] | N | positive |", "|---|---|---|---|---|"]
    for finding, found in scores.get("findings", {}).items():
        auroc, precision = found.get("auroc", {}), found.get("average_precision", {})
        rows.append(
            f"| {finding} | {_number(auroc.get('value'))} {_interval(auroc.get('interval'))}"
            f" | {_number(precision.get('value'))} {_interval(precision.get('interval'))}"
            f" | {found.get('n')} | {found.get('n_positive')} |"
        )
    return "Val films, intervals by bootstrap over patients.\n\n" + "\n".join(rows)


def _spaces(metrics: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The spaces in which memorisation was measured, by name."""
    held = sorted(metrics.get("privacy", {}).items())
    return [(name, found) for name, found in held if isinstance(found, Mapping) and found.get("status") == "computed"]


def _number(value: Any) -> str:
    return "not defined" if value is None else f"{value:.3g}"


def _interval(bounds: Any) -> str:
    if not bounds or any(bound is None for bound in bounds):
        return ""
    return f"[{bounds[0]:.3g}, {bounds[1]:.3g}]"


def _percent(value: Any) -> str:
    return "not defined" if value is None else f"{100 * value:.2g} %"


def _percents(bounds: Any) -> str:
    if not bounds or any(bound is None for bound in bounds):
        return ""
    return f"[{100 * bounds[0]:.2g}, {100 * bounds[1]:.2g}]"
