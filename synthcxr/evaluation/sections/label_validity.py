"""The entries "validity" and "specificity" of the section "labels": do the labels of images mean what films' mean?

The positives are the images that the dataset labels with a finding. The negatives are the images without the label: of
the dataset itself, or of an unconditional baseline of the same model if the images were requested by label.
"""

from __future__ import annotations

import dataclasses
from typing import TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.films import TEST_SPLITS
from synthcxr.data.metrics_rows import LabelRatioRow
from synthcxr.data.metrics_schema import COMPUTED, LabelRatioSection, not_applicable
from synthcxr.evaluation.baseline import Baseline
from synthcxr.evaluation.comparison import ComparisonFeatures
from synthcxr.evaluation.image_sets import SyntheticSet
from synthcxr.evaluation.metrics import label_validity
from synthcxr.evaluation.metrics.film_labels import FilmLabels
from synthcxr.evaluation.metrics.label_validity import LabelledScores, LabelRatio, LabelRatios

NO_BASELINE = not_applicable(
    "requested images are compared with a baseline: give --models with the generator that made them, or --baseline"
)
NO_FILM_LABELS = not_applicable(
    "the reference of the model has no AUROC of the judge on films: give --films, or export the models again"
)


class LabelRatioSections(TypedDict):
    """Both entries."""

    validity: LabelRatioSection
    specificity: LabelRatioSection


def measure_test_films(features: ComparisonFeatures) -> FilmLabels:
    """Measure all test films, whatever was requested, in the judge's outputs."""
    comparison, judge = features.comparison, features.extractor
    real = dataclasses.replace(comparison.real.unrestricted, labelled_only=comparison.real.labelled_only)
    return FilmLabels.measure(
        logits=real.outputs(judge, TEST_SPLITS)["logits"],
        labels=real.films.findings(real.manifest_rows(TEST_SPLITS)),
        patients=real.patients(TEST_SPLITS),
        n_bootstrap=comparison.config.n_bootstrap,
        rng=comparison.rng("label validity of films"),
    )


def compare_with_films(
    features: ComparisonFeatures, films: FilmLabels, baseline: Baseline | None
) -> LabelRatioSections:
    """Compute both entries from the judge's outputs of the images."""
    comparison = features.comparison
    return compute_label_ratios(
        films,
        comparison.synthetic,
        features.synthetic_outputs["logits"],
        baseline,
        n_bootstrap=comparison.config.n_bootstrap,
        rng=comparison.rng("label validity of images"),
    )


def compute_label_ratios(
    films: FilmLabels | None,
    synthetic: SyntheticSet,
    logits: NDArray[np.float32],
    baseline: Baseline | None,
    *,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> LabelRatioSections:
    """Compute both entries from the judge's logits [n, 14] of the images; `films` None means no films to compare with.

    `baseline` is needed for images that were requested by label.
    """
    if films is None:
        return _without_ratios(NO_FILM_LABELS)
    if synthetic.is_conditional and baseline is None:
        return _without_ratios(NO_BASELINE)
    if baseline is None:
        images = LabelledScores.from_labels(logits, synthetic.labels)
    else:
        images = LabelledScores.from_request(
            logits, synthetic.labels, baseline_scores=baseline.logits, baseline_labels=baseline.labels
        )
    validity, specificity = label_validity.measure_separation(images, n_bootstrap=n_bootstrap, rng=rng)
    return {
        "validity": _build_section(label_validity.compare_separations(real=films.validity, synthetic=validity)),
        "specificity": _build_section(
            label_validity.compare_separations(real=films.specificity, synthetic=specificity)
        ),
    }


def _build_section(ratios: LabelRatios) -> LabelRatioSection:
    section: LabelRatioSection = {"status": COMPUTED, "mean": ratios.mean, "mean_interval": ratios.mean_interval}
    return section | {finding: _build_row(ratio) for finding, ratio in ratios.by_finding.items()}


def _build_row(ratio: LabelRatio) -> LabelRatioRow:
    fields = {name: value for name, value in vars(ratio).items() if name != "reason"}
    return cast(LabelRatioRow, fields | {"status": not_applicable(ratio.reason) if ratio.reason else COMPUTED})


def _without_ratios(status: str) -> LabelRatioSections:
    return {
        "validity": {"status": status, "mean": None, "mean_interval": None},
        "specificity": {"status": status, "mean": None, "mean_interval": None},
    }
