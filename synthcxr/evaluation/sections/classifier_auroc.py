"""How well a labeller ranks real test films, and how much of that is only knowing where a film comes from."""

from __future__ import annotations

from typing import Any

import numpy as np

from synthcxr.evaluation.comparison import TEST, Comparison
from synthcxr.evaluation.features.efficientnet_lite0 import Extractor
from synthcxr.evaluation.gates import NOT_APPLICABLE
from synthcxr.evaluation.metrics import auroc
from synthcxr.evaluation.metrics.frechet import MIN_FILMS

MIN_POSITIVES = 15
TRAIN = ("train",)


def section(comparison: Comparison, labeller: Extractor) -> dict[str, Any]:
    """Mean AUROC over findings with 15 positives or more among the test films, all of them, whatever was requested.

    Beside it stand that of source and view alone (each finding's share among train films of the same two), and that
    of films compared with films of their own source only. Intervals are by bootstrap over patients.
    """
    real, n_bootstrap = comparison.real.unconditional, comparison.config.n_bootstrap
    rows, learned = real.manifest_rows(TEST), real.manifest_rows(TRAIN)
    if len(rows) < MIN_FILMS:
        return {"status": f"{NOT_APPLICABLE} (n = {len(rows)})"}
    films = real.films
    findings, patients = films.findings(rows), films.patients(rows)
    over = auroc.ranked(findings, min_positives=MIN_POSITIVES)
    if not over:
        return {"status": f"{NOT_APPLICABLE} (no finding has {MIN_POSITIVES} positives)"}
    sources, origins = (
        films.films["source"].to_numpy(str),
        (films.films["source"] + "|" + films.films["view"]).to_numpy(str),
    )
    scores = real.outputs(labeller, TEST)["logits"]
    alone = auroc.by_stratum(findings=films.findings(learned), strata=origins[learned], of=origins[rows])

    def mean(of: Any, strata: Any) -> dict[str, Any]:
        return auroc.mean_within(
            scores=of,
            findings=findings,
            strata=strata,
            patients=patients,
            over=over,
            n_bootstrap=n_bootstrap,
            rng=comparison.rng("ranking"),
        ).as_dict()

    together = np.zeros(len(rows), dtype=int)
    each = auroc.score(
        scores=scores, findings=findings, patients=patients, n_bootstrap=n_bootstrap, rng=comparison.rng("ranking")
    )
    return {
        "status": "computed",
        "n_films": len(rows),
        "n_patients": len(set(patients)),
        "findings": list(over),
        "mean_auroc": mean(scores, together),
        "within_source": mean(scores, sources[rows]),
        "source_and_view_alone": mean(alone, together),
        "auroc": {
            name: each.findings[name].auroc.as_dict() | {"n_positive": each.findings[name].n_positive} for name in over
        },
    }
