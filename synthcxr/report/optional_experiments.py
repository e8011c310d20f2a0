"""What the report says of `synthcxr disturb` and `utility`, where a person has run them on what is judged here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthcxr.report.text import NO_BREAK, Table, auroc, features, words
from synthcxr.storage import json_files

DISTURB, UTILITY = Path("disturb/disturb.json"), Path("utility/utility.json")
MEAN = "mean"
_ARMS = ("real only", "synthetic only", "real twice", "real + synthetic")


@dataclasses.dataclass(frozen=True)
class Trials:
    """What both found, as far as it is of these models: curves by extractor, and utility.json; empty where not."""

    disturb: dict[str, Any]
    utility: dict[str, Any]


def read(results: Path, metrics: Mapping[str, Any]) -> Trials:
    """Read both from below `results`; what judges another extractor or another generator than `metrics` is left."""
    tried = _there(results / DISTURB).get("extractors", {})
    digests = {name: held.get("digest") for name, held in metrics.get("distance", {}).items()}
    used = _there(results / UTILITY)
    generator = metrics.get("models", {}).get("generator")
    return Trials(
        disturb={
            name: held for name, held in tried.items() if "passed" in held and held["digest"] == digests.get(name)
        },
        utility=used if used and used["generator"] == generator else {},
    )


def disturbed(held: Mapping[str, Any]) -> Table:
    """A row a disturbance, a column an extractor: does its distance grow at every step."""
    kinds = dict.fromkeys(kind for each in held.values() for kind in each["disturbances"])
    rows = [(kind, *(each["disturbances"][kind]["grows"] for each in held.values())) for kind in kinds]
    return Table(("Does it grow with", *map(features, held)), tuple(rows))


def disturbed_notes(held: Mapping[str, Any]) -> tuple[str, ...]:
    """The verdict on each extractor, or that there is none."""
    if not held:
        return ("Whether these distances grow when films are disturbed was not tried: `synthcxr disturb`.",)
    return tuple(
        f"{features(name)}: the distance {'grows' if each['passed'] else 'does not grow'} at every step"
        + ("." if each["passed"] else ", so that it orders images wrongly somewhere; no gate should stand on it.")
        for name, each in held.items()
    )


def arms(held: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The ranks of each training, in the order to read them; the mean first, then from common to rare."""
    positive = held["n_positive"]
    names = (MEAN, *sorted(held["over"], key=lambda name: -positive[name]))
    return {arm: {name: held["arms"][arm]["ranks"][name] for name in names} for arm in _ARMS}


def utility(held: Mapping[str, Any]) -> Table:
    """A row a finding below the number of images and the mean over findings; a column a training."""
    if not held:
        return Table((), ())
    found, positive = arms(held), held["n_positive"]
    rows = (
        (
            words(name) + (f" ({positive[name]:,})" if name in positive else ""),
            *(auroc(ranks[name]) for ranks in found.values()),
        )
        for name in next(iter(found.values()))
    )
    counts = ("images learned from", *(f"{held['arms'][arm]['n_images']:,}" for arm in found))
    return Table(("Finding", *found), (counts, *rows))


def utility_notes(held: Mapping[str, Any]) -> tuple[str, ...]:
    """The differences that answer the question, or that it was not asked."""
    if not held:
        return ("What a classifier learns from these images was not tried: `synthcxr utility`.",)
    training = held["training"]
    about = (
        f"AUROC on {held['n_test']:,} real test films of {held['n_patients']:,} patients (positive films in brackets),"
        f" mean of {training['n_seeds']} trainings of {training['n_epochs']} epochs each; 95 % intervals over patients."
    )
    ordered = sorted(held["differences"].items(), key=lambda item: _ARMS.index(item[0].partition(" - ")[0]))
    said = [f"{name}: {each['value']:+.3f} {_signed(each['interval'])}." for name, each in ordered]
    return (about, "Differences of mean AUROC: " + " ".join(said))


def _signed(edges: tuple[float, float]) -> str:
    return NO_BREAK.join((f"({edges[0]:+.3f}", "to", f"{edges[1]:+.3f})"))


def _there(path: Path) -> dict[str, Any]:
    return dict(json_files.read_json(path)) if path.is_file() else {}
