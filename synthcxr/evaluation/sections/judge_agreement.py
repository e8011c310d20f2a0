"""The section "agreement" of metrics.json: how often the judge agrees with the classifier, on images and on films.

For each finding: of the images that the classifier labelled with it, the share that the judge labels with it too; and
the same share of the real test films. A lower share on images than on films means that the images satisfy the
classifier without showing the finding.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.films import TEST_SPLITS
from synthcxr.data.findings import FINDINGS
from synthcxr.data.metrics_rows import AgreementRow
from synthcxr.data.metrics_schema import COMPUTED, AgreementSection
from synthcxr.data.share_interval import wilson_interval
from synthcxr.evaluation.comparison import JudgeLabels, detect_findings, find_weak_findings
from synthcxr.evaluation.features import extractors
from synthcxr.evaluation.features.extractors import OnnxModel
from synthcxr.evaluation.image_sets import SyntheticSet
from synthcxr.evaluation.metrics import bootstrap
from synthcxr.evaluation.metrics.bootstrap import Interval
from synthcxr.evaluation.metrics.label_distribution import Bool

MIN_LABELLED = 10
"""A share is given when the classifier labelled at least this many images, or films, with the finding."""


def compute_agreement(labels: JudgeLabels, classifier: OnnxModel) -> AgreementSection:
    """Compute the section for the classifier that labelled the images, on all images and all test films."""
    comparison = labels.comparison
    real = comparison.real.unrestricted
    classifier_outputs = real.outputs(extractors.extractor_from_model(classifier), TEST_SPLITS)
    classifier_synthetic = comparison.synthetic.labels
    classifier_real = detect_findings(classifier_outputs, classifier.metadata)
    judge_synthetic, judge_real = labels.synthetic, labels.unrestricted_films(TEST_SPLITS)
    weak_findings = {*labels.weak_findings, *find_weak_findings(classifier.metadata)}
    patients, rng = real.patients(TEST_SPLITS), comparison.rng("agreement")
    section: AgreementSection = {"status": COMPUTED}
    for column, finding in enumerate(FINDINGS):
        section[finding] = measure_agreement(
            synthetic=(classifier_synthetic[:, column], judge_synthetic[:, column]),
            real=(classifier_real[:, column], judge_real[:, column]),
            real_patients=patients,
            judged=finding not in weak_findings,
            n_bootstrap=comparison.config.n_bootstrap,
            rng=rng,
        )
    return section


def compute_agreement_without_films(
    synthetic: SyntheticSet, judge_labels: Bool, *, not_judged: Collection[str]
) -> AgreementSection:
    """Compute the section for the images alone, by the judge's labels bool [n, 14] of them."""
    labels, no_labels = synthetic.labels, np.zeros(0, np.bool_)
    section: AgreementSection = {"status": COMPUTED}
    for column, finding in enumerate(FINDINGS):
        section[finding] = measure_agreement(
            synthetic=(labels[:, column], judge_labels[:, column]),
            real=(no_labels, no_labels),
            real_patients=np.zeros(0, np.object_),
            judged=finding not in not_judged,
            n_bootstrap=0,
            rng=np.random.default_rng(0),
        )
    return section


def measure_agreement(
    *,
    synthetic: tuple[Bool, Bool],
    real: tuple[Bool, Bool],
    real_patients: NDArray[np.object_],
    judged: bool,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> AgreementRow:
    """Agreement on one finding. Each side is a pair of labels [n]: the classifier's and the judge's."""
    confirmed_synthetic, confirmed_real = (judge[classifier] for classifier, judge in (synthetic, real))
    row: AgreementRow = {
        "synthetic": None,
        "synthetic_interval": None,
        "n_synthetic": len(confirmed_synthetic),
        "real": None,
        "real_interval": None,
        "n_real": len(confirmed_real),
        "judged": judged,
    }
    if len(confirmed_synthetic) >= MIN_LABELLED:
        row["synthetic"] = float(confirmed_synthetic.mean())
        row["synthetic_interval"] = wilson_interval(int(confirmed_synthetic.sum()), len(confirmed_synthetic))
    if len(confirmed_real) >= MIN_LABELLED:
        row["real"] = float(confirmed_real.mean())
        row["real_interval"] = _resample_patients(confirmed_real, real_patients[real[0]], n_bootstrap, rng)
    return row


def _resample_patients(
    confirmed: Bool, patients: NDArray[np.object_], n_bootstrap: int, rng: np.random.Generator
) -> Interval:
    """The interval over resampled patients; Wilson's over patients when all films agree and no resample differs."""
    if confirmed.all() or not confirmed.any():
        n = len(set(patients))
        return wilson_interval(float(confirmed[0]) * n, n)
    weights = (bootstrap.resample_patients(patients, rng) for _ in range(n_bootstrap))
    return bootstrap.percentile_interval([weight @ confirmed / weight.sum() for weight in weights])
