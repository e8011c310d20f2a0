"""What the report says of findings: shares by the judge, their test, another prevalence, and distances by finding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.report.text import Row, Table, features, interval, mark, number, percent, words

_DISTANCES = (
    "Finding",
    "Features",
    "Frechet distance",
    "Floor: real to real",
    "Relative",
    "N synthetic / train / test",
)


def shares(held: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The share of each finding, No Finding first and then from common to rare."""
    return dict(sorted(held["shares"].items(), key=lambda item: (item[0] != NO_FINDING, -(item[1]["real"] or 0))))


def table(labels: Mapping[str, Any]) -> Table:
    """Share of images with each finding, real and synthetic, as labelled by the judge; a prevalence beside them."""
    weak, beside = set(labels["not_judged"]), labels.get("prevalence")
    rows = tuple(
        (
            words(name) + (" *" if name in weak else ""),
            f"{percent(share['real'])} {interval(share['real_interval'], percent=True)}",
            f"{percent(share['synthetic'])} {interval(share['synthetic_interval'], percent=True)}",
            f"{number(share['ratio'])} {interval(share['ratio_interval'])}".rstrip(),
            f"{share['n_real_positive']:,}",
            *(() if beside is None else _of_prevalence(beside["shares"][name])),
        )
        for name, share in shares(labels).items()
    )
    headings = ("Finding", "Real", "Synthetic", "Synthetic / real", "Real films so")
    return Table((*headings, *(() if beside is None else (beside["name"], "Synthetic / it"))), rows)


def _of_prevalence(share: Mapping[str, Any]) -> Row:
    return percent(share["reference"]), f"{number(share['ratio'])} {interval(share['ratio_interval'])}".rstrip()


def notes(labels: Mapping[str, Any]) -> tuple[str, ...]:
    """The divergences and the test in words, and which findings enter no gate; or why there is nothing to compare."""
    beside = _beside(labels.get("prevalence"))
    if labels["status"] != "computed":
        return (f"Label shares: {labels['status']}.", *beside)
    said = [
        f"Total variation {number(labels['total_variation'])} (0: the same shares, 1: nothing in common);"
        f" Jensen-Shannon {number(labels['jensen_shannon'])}; Kullback-Leibler {number(labels['kl'])}."
    ]
    if "test" in labels:
        test = labels["test"]
        said.append(
            f"A difference as large by chance alone has p = {number(test['p_value'])}; its size is"
            f" {test['effect']}: Cramer's V {number(test['cramers_v'])} (0: none, 1: complete). With many images a tiny"
            " V is improbable too."
        )
    if "cooccurrence" in labels:
        said.append(
            "How often two findings come together differs by"
            f" {percent(labels['cooccurrence']['difference'])} of images in the mean over pairs."
        )
    said += beside
    if labels["not_judged"]:
        names = ", ".join(map(words, labels["not_judged"]))
        said.append(f"* Too few val films to choose a threshold; listed, in no gate: {names}.")
    return tuple(said)


def distances(by_finding: Mapping[str, Any]) -> Table:
    """A row for each finding and extractor with enough images and films of it, from the first finding on."""
    rows = [
        _distance(finding, name, held[finding])
        for finding in (NO_FINDING, *FINDINGS)
        for name, held in by_finding.items()
        if isinstance(held.get(finding), Mapping) and held[finding]["status"] == "computed"
    ]
    return Table(_DISTANCES, tuple(rows))


def _distance(finding: str, name: str, held: Mapping[str, Any]) -> Row:
    return (
        words(finding) + mark(held),
        features(name),
        f"{number(held['value'])} {interval(held['interval'])}",
        number(held["floor"]),
        f"{number(held['relative'])} {interval(held['relative_interval'])}",
        f"{held['n_synthetic']:,} / {held['n_train']:,} / {held['n_test']:,}",
    )


def _beside(held: Mapping[str, Any] | None) -> tuple[str, ...]:
    if held is None:
        return ()
    return (
        f"Against {held['name']}: total variation {number(held['total_variation'])}, Jensen-Shannon"
        f" {number(held['jensen_shannon'])}. Those labels were not given by the judge, so the difference is of images"
        " and of labelling.",
    )
