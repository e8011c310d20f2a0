"""The results of `synthcxr disturb` and `synthcxr utility`, where a person ran them on the evaluated models."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from synthcxr.data.evidence.summary import select_utility
from synthcxr.data.metrics_schema import MetricsJson
from synthcxr.data.model_names import name_network
from synthcxr.data.number_format import NO_BREAK_SPACE, format_count, format_decimals, format_interval
from synthcxr.report import plots
from synthcxr.report.section import Plot, Section, Table
from synthcxr.report.text import format_auroc, spell_finding

MEAN = "mean"
_ARMS = ("real only", "synthetic only", "real twice", "real + synthetic")


@dataclasses.dataclass(frozen=True)
class Experiments:
    """The entries of disturb.json by extractor, and utility.json; each is empty where it does not apply."""

    disturb: dict[str, Any]
    utility: dict[str, Any]

    @classmethod
    def select(cls, *, disturb: Mapping[str, Any], utility: Mapping[str, Any], metrics: MetricsJson) -> Experiments:
        """Keep what is about the extractors and the generator of `metrics`; the arguments are the files' content."""
        extractor_digests = {name: row.get("digest") for name, row in metrics.get("distance", {}).items()}
        return cls(
            disturb={
                name: entry
                for name, entry in disturb.get("extractors", {}).items()
                if "passed" in entry and entry["digest"] == extractor_digests.get(name)
            },
            utility=select_utility(utility, metrics),
        )


def build_reliability_section(disturb: Mapping[str, Any], names: Mapping[str, str]) -> Section:
    """Whether the distance of each extractor grows with the level of each disturbance of real films."""
    title = "Reliability of these distances"
    if not disturb:
        note = "It was not tested whether these distances grow when films are disturbed; run `synthcxr disturb`."
        return Section(title, notes=(note,))
    kinds = dict.fromkeys(kind for entry in disturb.values() for kind in entry["disturbances"])
    rows = tuple((kind, *(entry["disturbances"][kind]["grows"] for entry in disturb.values())) for kind in kinds)
    headings = ("Disturbance", *(f"{name_network(name, names)}: distance grows" for name in disturb))
    notes = tuple(
        f"{name_network(name, names)}: the distance {'grows' if entry['passed'] else 'does not grow'} at every step"
        + ("." if entry["passed"] else ", so it orders some images wrongly. Do not base a gate on it.")
        for name, entry in disturb.items()
    )
    return Section(
        title, plots=(_plot_disturbances(disturb),), notes=notes, table=Table(headings, rows), is_folded=True
    )


def build_utility_section(utility: Mapping[str, Any]) -> Section:
    """The AUROC on real test films of classifiers that were trained on real films, on images, and on both."""
    title = "Utility of the images for training"
    if not utility:
        return Section(title, conclusion="Training classifiers on these images was not tested; run `synthcxr utility`.")
    training = utility["training"]
    protocol = (
        f"AUROC on {format_count(utility['n_test'])} real test films of {format_count(utility['n_patients'])} patients"
        f" (number of positive films in brackets), mean of {training['n_seeds']} trainings of {training['n_epochs']}"
        f" epochs each. From images they learned the {training.get('targets', 'labels')}. The 95 % CIs are over"
        " patients."
    )
    ordered = sorted(utility["differences"].items(), key=lambda item: _ARMS.index(item[0].partition(" - ")[0]))
    differences = "; ".join(
        f"{name}: {difference['value']:+.3f} {_format_signed_interval(difference['interval'])}"
        for name, difference in ordered
    )
    return Section(
        title,
        conclusion=f"Differences of mean AUROC (95 % CI): {differences}.",
        plots=(_plot_utility(utility),),
        table=_tabulate_utility(utility),
        method=(protocol,),
    )


def order_arms(utility: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The AUROC of each arm by finding, in the order to read them: the mean first, then from common to rare."""
    n_positive = utility["n_positive"]
    names = (MEAN, *sorted(utility["over"], key=lambda name: -n_positive[name]))
    return {arm: {name: utility["arms"][arm]["ranks"][name] for name in names} for arm in _ARMS}


def _tabulate_utility(utility: Mapping[str, Any]) -> Table:
    """A column for each arm; a row for the number of training images, for the mean, and for each finding."""
    arms, n_positive = order_arms(utility), utility["n_positive"]
    counts = ("training images", *(format_count(utility["arms"][arm]["n_images"]) for arm in arms))
    rows = tuple(
        (
            spell_finding(name) + (f" ({format_count(n_positive[name])})" if name in n_positive else ""),
            *(format_auroc(estimates[name]) for estimates in arms.values()),
        )
        for name in next(iter(arms.values()))
    )
    return Table(("Finding", *arms), (counts, *rows))


def _plot_disturbances(disturb: Mapping[str, Any]) -> Plot:
    curves = {name: entry["disturbances"] for name, entry in disturb.items()}
    outcomes = "; ".join(
        f"{name} {'grows' if entry['passed'] else 'does not grow'} at every step" for name, entry in disturb.items()
    )
    return Plot.from_svg(
        plots.draw_disturbances(curves),
        title="Distance of disturbed real films, by level",
        alt=f"Distance over level of six disturbances: {outcomes}",
        is_wide=True,
    )


def _plot_utility(utility: Mapping[str, Any]) -> Plot:
    arms = order_arms(utility)
    means = "; ".join(
        f"{name} {format_decimals(estimates[MEAN]['value'], decimals=3)}" for name, estimates in arms.items()
    )
    return Plot.from_svg(
        plots.draw_utility(arms),
        title="AUROC on real test films, by training images",
        alt=f"Mean AUROC on real test films: {means}",
    )


def _format_signed_interval(bounds: tuple[float, float]) -> str:
    return format_interval(bounds, "{:+.3f}".format, template=f"({{}}{NO_BREAK_SPACE}to{NO_BREAK_SPACE}{{}})")
