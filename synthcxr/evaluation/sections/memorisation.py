"""The section "privacy" of metrics.json, and privacy.csv with the nearest film of every image in each space."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np

from synthcxr.data.films import HELD_OUT_SPLITS
from synthcxr.data.metrics_rows import PrivacyRow
from synthcxr.data.metrics_schema import COMPUTED, PIXELS, PrivacySection, not_applicable
from synthcxr.data.minimum_films import MIN_FILMS_FOR_DISTANCE
from synthcxr.evaluation.comparison import Comparison, ComparisonFeatures
from synthcxr.evaluation.memorisation import distance_spaces
from synthcxr.evaluation.memorisation.attacks import MemorisationResult
from synthcxr.storage.progress import track

CSV_FILE = "privacy.csv"


def measure_spaces(comparison: Comparison, features: Mapping[str, ComparisonFeatures]) -> dict[str, MemorisationResult]:
    """Measure memorisation in pixels and in each extractor's features; empty when it cannot be measured."""
    if find_reason_not_to_measure(comparison) is not None:
        return {}
    pixels = ComparisonFeatures.extract(distance_spaces.pixel_extractor(), comparison)
    spaces = track((pixels, *features.values()), "nearest films", unit="feature spaces")
    return {space.name: distance_spaces.measure_memorisation(space) for space in spaces}


def find_reason_not_to_measure(comparison: Comparison) -> str | None:
    """The status when memorisation cannot be measured, or None."""
    if comparison.synthetic.training_data != comparison.real.films.fingerprint:
        return not_applicable("the generator was trained on other films")
    n = len(comparison.real.unrestricted.patients(HELD_OUT_SPLITS))
    return not_applicable(f"n = {n}") if n < MIN_FILMS_FOR_DISTANCE else None


def build_section(
    comparison: Comparison, results: Mapping[str, MemorisationResult], unavailable: Mapping[str, str]
) -> PrivacySection:
    """The section from the results by space; `unavailable` maps the other extractors to a status."""
    section: PrivacySection = {}
    if (reason := find_reason_not_to_measure(comparison)) is not None:
        for name in (PIXELS, *comparison.config.extractors):
            section[name] = {"status": reason}
        return section | {"status": reason}
    for name, result in results.items():
        section[name] = _build_row(result, comparison)
    for name, status in unavailable.items():
        section[name] = {"status": status}
    n_flags = np.sum([result.flagged for result in results.values()], axis=0)
    return section | {
        "status": COMPUTED,
        "n_flagged_in_any": int((n_flags > 0).sum()),
        "n_flagged_in_all": int((n_flags == len(results)).sum()),
    }


def write_csv(path: Path, comparison: Comparison, results: Mapping[str, MemorisationResult]) -> None:
    """Write a row per image: for each space its distance to the nearest film, that film's manifest row, and a flag."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        columns = [f"{name} {column}" for name in results for column in ("distance", "film", "flagged")]
        writer.writerow(["file_name", *columns])
        for index, file_name in enumerate(comparison.synthetic.file_names):
            cells = [cell for result in results.values() for cell in _format_cells(result, index)]
            writer.writerow([file_name, *cells])


def _format_cells(result: MemorisationResult, index: int) -> tuple[str, str, str]:
    distance, film = result.nearest.distance[index], result.nearest.index[index]
    return f"{distance:.6g}", str(int(film)), str(int(result.flagged[index]))


def _build_row(result: MemorisationResult, comparison: Comparison) -> PrivacyRow:
    row = result.as_dict()
    file_names = comparison.synthetic.file_names
    row["pairs"] = [pair | {"image": file_names[pair["image"]]} for pair in row["pairs"]]
    return cast(PrivacyRow, row | {"status": COMPUTED})
