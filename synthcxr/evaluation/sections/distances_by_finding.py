"""The section "by_finding" of metrics.json: Fréchet distances of single findings in the features of each extractor.

The judge labels both sides: images that it labels X are compared with test films that it labels X, whatever the
films' own labels. The floor is the train split, which the judge has not seen.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.films import TEST_SPLITS, TRAIN_SPLITS
from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.data.metrics_rows import FindingDistanceRow
from synthcxr.data.metrics_schema import COMPUTED, FindingDistances, not_applicable
from synthcxr.data.minimum_films import MIN_FILMS_FOR_DISTANCE
from synthcxr.evaluation.comparison import ComparisonFeatures, JudgeLabels
from synthcxr.evaluation.metrics import frechet
from synthcxr.evaluation.metrics.label_distribution import Bool, add_no_finding
from synthcxr.storage.progress import track


def compute_finding_distances(
    features: Mapping[str, ComparisonFeatures], labels: JudgeLabels, unavailable: Mapping[str, str]
) -> dict[str, FindingDistances]:
    """Compute the section, an entry per extractor; `unavailable` maps the other extractors to a status."""
    comparison, reason = labels.comparison, None
    if comparison.n_test < MIN_FILMS_FOR_DISTANCE:
        reason = not_applicable(f"n = {comparison.n_test}")
    elif comparison.synthetic.is_conditional:
        reason = not_applicable("the images were requested by label")
    if reason is not None:
        return {name: {"status": reason} for name in comparison.config.extractors}
    labels_by_side = {
        "train": add_no_finding(labels.films(TRAIN_SPLITS)),
        "test": add_no_finding(labels.films(TEST_SPLITS)),
        "synthetic": add_no_finding(labels.synthetic),
    }
    section: dict[str, FindingDistances] = {name: {"status": status} for name, status in unavailable.items()}
    for name, extractor_features in features.items():
        section[name] = _compute_rows(extractor_features, labels_by_side, labels.weak_findings)
    return section


def _compute_rows(
    features: ComparisonFeatures, labels_by_side: Mapping[str, Bool], weak_findings: tuple[str, ...]
) -> FindingDistances:
    """A row per finding, "No Finding" first; the judge's labels are bool [n, 15] for each side."""
    section: FindingDistances = {}
    title = f"{features.name}: distances by finding"
    for column, finding in enumerate(track((NO_FINDING, *FINDINGS), title, unit="findings")):
        rows_by_side = {side: np.flatnonzero(labels[:, column]) for side, labels in labels_by_side.items()}
        section[finding] = _compute_row(features, rows_by_side, column, judged=finding not in weak_findings)
    return section


def _compute_row(
    features: ComparisonFeatures, rows: Mapping[str, NDArray[np.int64]], column: int, *, judged: bool
) -> FindingDistanceRow:
    n_min = min(map(len, rows.values()))
    row: FindingDistanceRow = {
        "status": COMPUTED if n_min >= MIN_FILMS_FOR_DISTANCE else not_applicable(f"n = {n_min}"),
        "judged": judged,
        "n_train": len(rows["train"]),
        "n_test": len(rows["test"]),
        "n_synthetic": len(rows["synthetic"]),
    }
    if n_min < MIN_FILMS_FOR_DISTANCE:
        return row
    comparison = features.comparison
    distance = frechet.relative_distance(
        train=features.film_features(TRAIN_SPLITS)[rows["train"]],
        test=features.test[rows["test"]],
        synthetic=features.synthetic[rows["synthetic"]],
        train_patients=comparison.real.patients(TRAIN_SPLITS)[rows["train"]],
        test_patients=features.test_patients[rows["test"]],
        n_bootstrap=comparison.config.n_bootstrap,
        rng=comparison.rng(f"by finding {features.name} {column}"),
    )
    return row | {
        "value": distance.value,
        "interval": distance.interval,
        "floor": distance.floor,
        "relative": distance.relative,
        "relative_interval": distance.relative_interval,
        "n": distance.n_synthetic,
    }
