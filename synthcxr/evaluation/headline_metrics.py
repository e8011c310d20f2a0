"""The dozen figures of an evaluation that fit a table: what `dvc metrics show` and `diff` put side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synthcxr.evaluation.gates import Verdict

_EACH = {
    "relative_distance": ("distance", "relative"),
    "kernel_distance": ("kernel", "value"),
    "relative_coverage": ("coverage", "relative"),
}
_ALL = {
    "label_total_variation": ("labels", "total_variation"),
    "share_nearer_than_null": ("privacy", "pixels", "share"),
    "classifier_auroc": ("classifier", "mean_auroc", "value"),
    "classifier_auroc_within_source": ("classifier", "within_source", "value"),
    "failed_checks": ("checks", "failed"),
    "n_synthetic": ("n_synthetic",),
    "n_real_test": ("n_real_test",),
}


def of(metrics: Mapping[str, Any], verdict: Verdict) -> dict[str, Any]:
    """From the content of metrics.json: a figure by name, an extractor an entry; what was not computed is left out."""
    found: dict[str, Any] = {"gates_passed": verdict.passed}
    for name, (section, key) in _EACH.items():
        each = {extractor: _at(entry, (key,)) for extractor, entry in metrics[section].items() if _is_mapping(entry)}
        if held := {extractor: value for extractor, value in each.items() if value is not None}:
            found[name] = held
    plain = {name: _at(metrics, path) for name, path in _ALL.items()}
    return found | {name: value for name, value in plain.items() if value is not None}


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not _is_mapping(tree) or key not in tree:
            return None
        tree = tree[key]
    return tree


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)
