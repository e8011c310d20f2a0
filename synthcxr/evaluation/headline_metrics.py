"""summary.json: answers and the dozen figures of an evaluation that `dvc metrics show` and `diff` compare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from synthcxr.data.evidence.summary import summarise_evidence
from synthcxr.data.metrics_schema import PIXELS, MetricsJson, SummaryJson, VerdictJson

_PER_EXTRACTOR = {
    "relative_distance": ("distance", "relative"),
    "kernel_distance": ("kernel", "value"),
    "relative_coverage": ("coverage", "relative"),
}
_SINGLE = {
    "label_total_variation": ("labels", "total_variation"),
    "label_validity": ("labels", "validity", "mean"),
    "label_specificity": ("labels", "specificity", "mean"),
    "effective_share": ("weights", "effective_share"),
    "share_nearer_than_null": ("privacy", PIXELS, "share"),
    "classifier_auroc": ("classifier", "mean_auroc", "value"),
    "classifier_auroc_within_source": ("classifier", "within_source", "value"),
    "failed_checks": ("checks", "failed"),
    "n_synthetic": ("n_synthetic",),
    "n_real_test": ("n_real_test",),
}


def summarise(metrics: MetricsJson, verdict: VerdictJson, run: Mapping[str, Any]) -> SummaryJson:
    """Select the answers and the figures that were computed; those of distances are by extractor."""
    evidence = summarise_evidence(metrics, verdict, run)
    summary: dict[str, object] = {
        "gates_passed": verdict["passed"],
        "state": evidence.state,
        "headline": evidence.headline,
        "answers": {answer.key: {"state": answer.state, "verdict": answer.verdict} for answer in evidence.answers},
    }
    for name, (section, key) in _PER_EXTRACTOR.items():
        values = {extractor: _look_up(metrics, (section, extractor, key)) for extractor in metrics["distance"]}
        if computed := {extractor: value for extractor, value in values.items() if value is not None}:
            summary[name] = computed
    for name, path in _SINGLE.items():
        if (value := _look_up(metrics, path)) is not None:
            summary[name] = value
    return cast(SummaryJson, summary)


def _look_up(tree: object, path: tuple[str, ...]) -> object:
    """The value at a path, or None."""
    for key in path:
        if not isinstance(tree, Mapping) or key not in tree:
            return None
        tree = tree[key]
    return tree
