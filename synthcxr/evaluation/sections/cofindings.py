"""The section "cofindings" of metrics.json: findings per image and the most frequent companions, against films."""

from __future__ import annotations

import numpy as np

from synthcxr.data.films import TEST_SPLITS
from synthcxr.data.findings import FINDINGS
from synthcxr.data.metrics_schema import COMPUTED, CoFindingsSection
from synthcxr.evaluation.comparison import Comparison, detect_findings
from synthcxr.evaluation.features import extractors
from synthcxr.evaluation.features.extractors import OnnxModel
from synthcxr.evaluation.metrics import cofindings
from synthcxr.evaluation.metrics.film_labels import FilmLabels
from synthcxr.evaluation.metrics.label_distribution import Bool

MIN_LABELLED = 10
"""A finding has a row if at least this many images carry it; its films are compared from as many films on."""


def compute_cofindings(
    labels: Bool, films: FilmLabels | None, *, classifier_labels: Bool | None = None, film_labels: Bool | None = None
) -> CoFindingsSection:
    """Compute the section from the labels bool [n, 14] of the images; `films` None means no films to compare with.

    `classifier_labels` are the labels [m, 14] that the dataset's classifier gives to films with the labels
    `film_labels` [m, 14].
    """
    pairs = cofindings.count_pairs(labels)
    real_mean = float(np.trace(films.pair_counts) / films.n) if films is not None and films.n else None
    section: CoFindingsSection = {"status": COMPUTED, "synthetic": float(labels.sum() / len(labels)), "real": real_mean}
    for column, finding in enumerate(FINDINGS):
        images = cofindings.describe_cofindings(pairs, finding)
        if images.n < MIN_LABELLED or images.findings_per_image is None:
            continue
        real = None if films is None else cofindings.describe_cofindings(films.pair_counts, finding)
        is_comparable = real is not None and real.n >= MIN_LABELLED
        by_classifier = None
        if is_comparable and classifier_labels is not None and film_labels is not None:
            by_classifier = float(classifier_labels[film_labels[:, column]].sum(axis=1).mean())
        section[finding] = {
            "synthetic": images.findings_per_image,
            "n_synthetic": images.n,
            "real": real.findings_per_image if real is not None and is_comparable else None,
            "real_by_classifier": by_classifier,
            "n_real": 0 if real is None else real.n,
            "companions": [
                {
                    "finding": name,
                    "synthetic": images.share_with[name],
                    "real": real.share_with[name] if real is not None and is_comparable else None,
                }
                for name in images.companions
            ],
        }
    return section


def compare_with_films(comparison: Comparison, films: FilmLabels, classifier: OnnxModel | None) -> CoFindingsSection:
    """Compute the section against all test films; `classifier` is the one that labelled the images, if at hand."""
    real, labels = comparison.real.unrestricted, comparison.synthetic.labels
    if classifier is None:
        return compute_cofindings(labels, films)
    outputs = real.outputs(extractors.extractor_from_model(classifier), TEST_SPLITS)
    return compute_cofindings(
        labels,
        films,
        classifier_labels=detect_findings(outputs, classifier.metadata),
        film_labels=real.films.findings(real.manifest_rows(TEST_SPLITS)) == 1,
    )
