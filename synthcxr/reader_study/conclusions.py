"""Conclusions from the results in sentences that claim no more than the confidence intervals allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from synthcxr.data.number_format import format_decimals, format_interval, format_percent, format_percent_interval
from synthcxr.reader_study.accuracy import CHANCE


def draw_conclusions(result: Mapping[str, Any]) -> tuple[str, ...]:
    """Sentences about the results of `analysis.analyse_readings`, the most important first."""
    return tuple(_write_sentences(result))


def _write_sentences(result: Mapping[str, Any]) -> Iterator[str]:
    if not result["n_readings"]:
        yield "No reader has answered yet."
        return
    pooled = result["pooled"]
    if pooled["accuracy"] is not None:
        yield _describe_all_readers(pooled["accuracy"], len(result["readers"]))
    elif len(result["readers"]) == 1:
        yield "Only one reader has answered: the results say nothing about other readers."
    for number, reader in result["readers"].items():
        yield _describe_reader(number, reader)
    if pooled["auc"] is not None:
        yield _describe_auc(pooled["auc"])
    if result["pairs"] and result["pairs"]["accuracy"]:
        accuracy = result["pairs"]["accuracy"]
        yield (
            f"Pairs: readers identified the real image in {_percent(accuracy)}, N = {accuracy['n']} readings"
            " (without unsure)."
        )
    yield from _describe_agreement(result["between_readers"])
    yield from _describe_classifier(result["classifier"])
    started = [number for number, reader in result["readers"].items() if not reader["complete"]]
    if started or result["not_begun"]:
        unfinished = ", ".join(map(str, [*started, *result["not_begun"]]))
        yield f"Not finished: reader {unfinished}. The results may still change."
    if result["about"].get("synthetic", {}).get("phantom"):
        yield "The synthetic images are from a model trained on phantoms: the results say nothing about realism."


def _describe_all_readers(accuracy: Mapping[str, Any], n_readers: int) -> str:
    figures = f"accuracy {_percent(accuracy)}, N = {accuracy['n']} readings of {n_readers} readers (without unsure)"
    if accuracy["low"] > CHANCE:
        return f"Readers told real from synthetic better than chance: {figures}."
    if accuracy["high"] < CHANCE:
        return f"Readers saw a difference, but took synthetic images for real and real films for synthetic: {figures}."
    return (
        f"The study does not show that readers do better than chance: {figures}. It also does not show that they"
        f" cannot: an accuracy of up to {accuracy['high']:.0%} is compatible with these readings."
    )


def _describe_reader(number: str, reader: Mapping[str, Any]) -> str:
    accuracy = reader["accuracy"]
    if accuracy["value"] is None:
        return f"Reader {number} was unsure about every image."
    unsure = f" (without {reader['n_unsure']} unsure)" if reader["n_unsure"] else ""
    comparison = "not distinguishable from chance"
    if accuracy["low"] > CHANCE:
        comparison = "better than chance"
    elif accuracy["high"] < CHANCE:
        comparison = "worse than chance"
    return f"Reader {number}: accuracy {_percent(accuracy)}, N = {accuracy['n']} readings{unsure}: {comparison}."


def _describe_auc(auc: Mapping[str, Any]) -> str:
    comparison = "not distinguishable from"
    if auc["low"] > CHANCE:
        comparison = "above"
    elif auc["high"] < CHANCE:
        comparison = "below"
    return (
        f"AUC of the readers' confidence that an image is synthetic: {_decimals(auc)}, N = {auc['n']} readings:"
        f" {comparison} chance (0.5)."
    )


def _describe_agreement(between_readers: Mapping[str, Any]) -> Iterator[str]:
    kappa = between_readers["fleiss"]
    if kappa is not None and kappa["value"] is not None and kappa["low"] is not None:
        agreement = (
            "Readers agree with each other" if kappa["low"] > 0 else "The study does not show that readers agree"
        )
        yield (
            f"{agreement} beyond chance: Fleiss' kappa {_decimals(kappa)}, N = {between_readers['n_cases']} images that"
            " all have read."
        )


def _describe_classifier(classifier: Mapping[str, Any]) -> Iterator[str]:
    kappas = {origin: part["kappa"] for origin, part in classifier.items() if part["status"] == "computed"}
    figures = [
        f"{_decimals(kappa)} on {origin} images (N = {kappa['n']} readings)"
        for origin, kappa in kappas.items()
        if kappa["value"] is not None and kappa["low"] is not None
    ]
    if figures:
        yield f"Agreement between the readers' findings and the classifier's labels: kappa {' and '.join(figures)}."


def _percent(estimate: Mapping[str, Any]) -> str:
    interval = format_percent_interval((estimate["low"], estimate["high"]), template="(95 % CI {} to {})")
    return f"{format_percent(estimate['value'])} {interval}"


def _decimals(estimate: Mapping[str, Any]) -> str:
    interval = format_interval(
        (estimate["low"], estimate["high"]),
        lambda bound: format_decimals(bound, decimals=2),
        template="(95 % CI {} to {})",
    )
    return f"{format_decimals(estimate['value'], decimals=2)} {interval}"
