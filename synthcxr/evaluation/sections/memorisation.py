"""The evidence on copies: "privacy" in metrics.json, and privacy.csv with every image's nearest film in each space."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthcxr.evaluation.comparison import HELD_OUT, Comparison, View
from synthcxr.evaluation.gates import NOT_APPLICABLE
from synthcxr.evaluation.memorisation import spaces
from synthcxr.evaluation.memorisation.attacks import Examined
from synthcxr.evaluation.metrics.frechet import MIN_FILMS

CSV = "privacy.csv"


def examine(comparison: Comparison, views: Mapping[str, View]) -> dict[str, Examined]:
    """Each space by its name, pixels first; none where copies cannot be looked for."""
    if reason(comparison) is not None:
        return {}
    every = (View.through(spaces.pixels(), comparison), *views.values())
    return {each.name: spaces.examine(each) for each in every}


def reason(comparison: Comparison) -> str | None:
    """Why copies cannot be looked for, or None."""
    if comparison.synthetic.training_data != comparison.real.films.fingerprint:
        return f"{NOT_APPLICABLE} (the generator learned from other films than these)"
    n = len(comparison.real.unconditional.patients(HELD_OUT))
    return f"{NOT_APPLICABLE} (n = {n})" if n < MIN_FILMS else None


def section(comparison: Comparison, found: Mapping[str, Examined], absent: Mapping[str, str]) -> dict[str, Any]:
    """The content of "privacy": a space an entry, `absent` ones with their status; the images flagged anywhere."""
    status = reason(comparison)
    if status is not None:
        return {name: {"status": status} for name in (spaces.PIXELS, *comparison.config.extractors)} | {
            "status": status
        }
    flagged = sum(each.flagged.astype(int) for each in found.values())
    names = [record.file_name for record in comparison.synthetic.held]
    held = {name: _named(each.as_dict(), names) | {"status": "computed"} for name, each in found.items()}
    held |= {name: {"status": why} for name, why in absent.items()}
    return held | {
        "status": "computed",
        "n_flagged_in_any": int((flagged > 0).sum()),  # type: ignore[union-attr]
        "n_flagged_in_all": int((flagged == len(found)).sum()),  # type: ignore[union-attr]
    }


def write(path: Path, comparison: Comparison, found: Mapping[str, Examined]) -> None:
    """A row an image: in each space its distance to the nearest film, that film's manifest row, and the flag."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        columns = [f"{name} {what}" for name in found for what in ("distance", "film", "flagged")]
        writer.writerow(["file_name", *columns])
        for at, record in enumerate(comparison.synthetic.held):
            writer.writerow([record.file_name, *(cell for each in found.values() for cell in _cells(each, at))])


def _cells(found: Examined, at: int) -> tuple[str, str, str]:
    distance, film = found.nearest.distance[at], found.nearest.at[at]
    return f"{distance:.6g}", str(int(film)), str(int(distance < found.copies.threshold))


def _named(entry: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The entry with the pairs' images by their file names."""
    return entry | {"pairs": [pair | {"image": names[pair["image"]]} for pair in entry["pairs"]]}
