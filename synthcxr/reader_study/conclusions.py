"""What the results say in plain words, and no more than their intervals allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

CHANCE = 0.5


def of(result: Mapping[str, Any]) -> tuple[str, ...]:
    """Sentences on the results of `analysis.analyse`, the most important first."""
    return tuple(_all(result))


def _all(result: Mapping[str, Any]) -> Iterator[str]:
    if not result["n_readings"]:
        yield "Nobody has read yet."
        return
    pooled = result["pooled"]
    if pooled["accuracy"] is not None:
        yield _together(pooled["accuracy"], len(result["readers"]))
    elif len(result["readers"]) == 1:
        yield "One reader has read: nothing is said about other readers."
    for number, reader in result["readers"].items():
        yield _alone(number, reader)
    if pooled["auc"] is not None:
        yield _area(pooled["auc"])
    if result["pairs"] and result["pairs"]["accuracy"]:
        yield f"Of two images side by side the real one was found in {_percent(result['pairs']['accuracy'])}."
    yield from _between(result["between_readers"])
    yield from _classifier(result["classifier"])
    begun = [number for number, reader in result["readers"].items() if not reader["complete"]]
    if begun or result["not_begun"]:
        late = ", ".join(map(str, [*begun, *result["not_begun"]]))
        yield f"Not finished: reader {late}. What is said may change."
    if result["about"].get("synthetic", {}).get("phantom"):
        yield "The synthetic images come of drawn phantoms: nothing here is about realism."


def _together(accuracy: Mapping[str, Any], n_readers: int) -> str:
    shown = f"{_percent(accuracy)} of {accuracy['n']} readings that took a side, {n_readers} readers"
    if accuracy["low"] > CHANCE:
        return f"Readers told real from synthetic better than by chance: right in {shown}."
    if accuracy["high"] < CHANCE:
        return f"Readers saw a difference and mistook it for the reverse, synthetic for real: right in only {shown}."
    return (
        f"It was not shown that readers do better than chance: right in {shown}. That they never can is not shown"
        f" either: an accuracy of up to {accuracy['high']:.0%} fits these readings."
    )


def _alone(number: str, reader: Mapping[str, Any]) -> str:
    accuracy = reader["accuracy"]
    if accuracy["value"] is None:
        return f"Reader {number} took no side on any image."
    unsure = f", unsure of {reader['n_unsure']} more" if reader["n_unsure"] else ""
    verdict = "not told from chance"
    if accuracy["low"] > CHANCE:
        verdict = "better than chance"
    elif accuracy["high"] < CHANCE:
        verdict = "worse than chance"
    return f"Reader {number}: right in {_percent(accuracy)} of {accuracy['n']}{unsure}: {verdict}."


def _area(auc: Mapping[str, Any]) -> str:
    above = "above" if auc["low"] > CHANCE else "below" if auc["high"] < CHANCE else "not told from"
    return (
        f"By confidence, a synthetic image was rated more synthetic than a real one with probability {auc['value']:.2f}"
        f" ({auc['low']:.2f} to {auc['high']:.2f}): {above} the 0.5 of chance."
    )


def _between(between: Mapping[str, Any]) -> Iterator[str]:
    fleiss = between["fleiss"]
    if fleiss is not None and fleiss["value"] is not None and fleiss["low"] is not None:
        shown = f"Fleiss' kappa {fleiss['value']:.2f} ({fleiss['low']:.2f} to {fleiss['high']:.2f})"
        more = (
            "Readers agree beyond chance"
            if fleiss["low"] > 0
            else "No agreement between readers beyond chance is shown"
        )
        yield f"{more}: {shown} on {between['n_cases']} images that all have read."


def _classifier(classifier: Mapping[str, Any]) -> Iterator[str]:
    held = {name: part["kappa"] for name, part in classifier.items() if part["status"] == "computed"}
    held = {name: kappa for name, kappa in held.items() if kappa["value"] is not None and kappa["low"] is not None}
    shown = [f"{k['value']:.2f} ({k['low']:.2f} to {k['high']:.2f}) on {name} images" for name, k in held.items()]
    if shown:
        yield f"Between readers' findings and the classifier's labels kappa is {' and '.join(shown)}."


def _percent(share: Mapping[str, Any]) -> str:
    return f"{100 * share['value']:.1f} % ({100 * share['low']:.1f} to {100 * share['high']:.1f})"
