"""The section "classifier" of metrics.json: the classifier's AUROC on real test films.

Source and view alone also predict findings to some degree, so the section gives their AUROC too, and the classifier's
AUROC among films of one source.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from synthcxr.data.films import TEST_SPLITS, TRAIN_SPLITS
from synthcxr.data.metrics_rows import Auroc, FindingAuroc
from synthcxr.data.metrics_schema import COMPUTED, ClassifierAuroc, not_applicable
from synthcxr.data.minimum_films import MIN_FILMS_FOR_DISTANCE
from synthcxr.evaluation.comparison import Comparison
from synthcxr.evaluation.features import extractors
from synthcxr.evaluation.features.extractors import OnnxModel
from synthcxr.evaluation.metrics import auroc

MIN_POSITIVES = 15


def compute_classifier_auroc(comparison: Comparison, classifier: OnnxModel) -> ClassifierAuroc:
    """Compute the section from all test films, whatever was requested.

    Means are over findings with at least MIN_POSITIVES positive test films. "source_and_view_alone" scores a film by
    the share of each finding among the train films of its source and view. Intervals resample patients.
    """
    real, n_bootstrap = comparison.real.unrestricted, comparison.config.n_bootstrap
    test_rows, train_rows = real.manifest_rows(TEST_SPLITS), real.manifest_rows(TRAIN_SPLITS)
    if len(test_rows) < MIN_FILMS_FOR_DISTANCE:
        return {"status": not_applicable(f"n = {len(test_rows)}")}
    findings, patients = real.films.findings(test_rows), real.films.patients(test_rows)
    mean_over = auroc.select_rankable_findings(findings, min_positives=MIN_POSITIVES)
    if not mean_over:
        return {"status": not_applicable(f"no finding has {MIN_POSITIVES} positives")}
    manifest = real.films.manifest
    sources = manifest["source"].to_numpy(str)
    sources_and_views = (manifest["source"] + "|" + manifest["view"]).to_numpy(str)
    scores = real.outputs(extractors.extractor_from_model(classifier), TEST_SPLITS)["logits"]
    scores_without_pixels = auroc.predict_from_stratum(
        findings=real.films.findings(train_rows),
        strata=sources_and_views[train_rows],
        target_strata=sources_and_views[test_rows],
    )

    def mean_auroc(scores: Any, strata: Any) -> Auroc:
        estimate = auroc.mean_auroc_within_strata(
            scores=scores,
            findings=findings,
            strata=strata,
            patients=patients,
            over=mean_over,
            n_bootstrap=n_bootstrap,
            rng=comparison.rng("ranking"),
        )
        return cast(Auroc, estimate.as_dict())

    one_stratum = np.zeros(len(test_rows), dtype=int)
    performance = auroc.measure_performance(
        scores=scores, findings=findings, patients=patients, n_bootstrap=n_bootstrap, rng=comparison.rng("ranking")
    )
    by_finding = {finding: performance.findings[finding] for finding in mean_over}
    return {
        "status": COMPUTED,
        "n_films": len(test_rows),
        "n_patients": len(set(patients)),
        "findings": list(mean_over),
        "mean_auroc": mean_auroc(scores, one_stratum),
        "within_source": mean_auroc(scores, sources[test_rows]),
        "source_and_view_alone": mean_auroc(scores_without_pixels, one_stratum),
        "auroc": {
            finding: cast(FindingAuroc, score.auroc.as_dict() | {"n_positive": score.n_positive})
            for finding, score in by_finding.items()
        },
    }
