"""Distances of single findings: images that the judge calls X against test films that it calls X, in each extractor.

Like is compared with like: the judge's label on both sides, whatever the films' own say. The floor is the train split,
of which the judge has seen nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.evaluation.comparison import TEST, View
from synthcxr.evaluation.gates import NOT_APPLICABLE
from synthcxr.evaluation.metrics import frechet, label_distribution
from synthcxr.evaluation.metrics.frechet import MIN_FILMS
from synthcxr.evaluation.metrics.label_distribution import Bool
from synthcxr.evaluation.sections import labels
from synthcxr.model_files.onnx_metadata import Contract

TRAIN = ("train",)


@dataclasses.dataclass(frozen=True)
class Labelled:
    """The judge's labels, "No Finding" first, bool [n, 15], of train films, test films and synthetic images.

    What of a `weak` finding it says is listed and not judged.
    """

    train: Bool
    test: Bool
    synthetic: Bool
    weak: tuple[str, ...]

    @classmethod
    def by(cls, judged: View, contract: Contract) -> Labelled:
        """Label all three at the judge's thresholds."""
        logits = judged.films(TRAIN, "logits"), judged.films(TEST, "logits"), judged.synthetic["logits"]
        train, test, synthetic = (
            label_distribution.categories(label_distribution.present(each, contract.thresholds)) for each in logits
        )
        return cls(train, test, synthetic, labels.weak(contract))


def sections(views: Mapping[str, View], judged: View, contract: Contract, absent: Mapping[str, str]) -> dict[str, Any]:
    """The content of "by_finding": an extractor an entry, `absent` ones with their status."""
    why = None
    if judged.comparison.n_test < MIN_FILMS:
        why = f"{NOT_APPLICABLE} (n = {judged.comparison.n_test})"
    elif judged.comparison.synthetic.chosen:
        why = f"{NOT_APPLICABLE} (the set was made on request)"
    if why is not None:
        return {name: {"status": why} for name in judged.comparison.config.extractors}
    labelled = Labelled.by(judged, contract)
    return {name: section(view, labelled) for name, view in views.items()} | {
        name: {"status": status} for name, status in absent.items()
    }


def section(view: View, labelled: Labelled) -> dict[str, Any]:
    """An entry a finding, "No Finding" among them; one with too few films or images says how few."""
    return {
        name: _entry(view, labelled, at) | {"judged": name not in labelled.weak}
        for at, name in enumerate((NO_FINDING, *FINDINGS))
    }


def _entry(view: View, labelled: Labelled, at: int) -> dict[str, Any]:
    held = {side: np.flatnonzero(getattr(labelled, side)[:, at]) for side in ("train", "test", "synthetic")}
    counts = {f"n_{side}": len(rows) for side, rows in held.items()}
    if min(counts.values()) < MIN_FILMS:
        return counts | {"status": f"{NOT_APPLICABLE} (n = {min(counts.values())})"}
    comparison = view.comparison
    found = frechet.relative_distance(
        train=view.films(TRAIN)[held["train"]],
        test=view.test[held["test"]],
        synthetic=view.synthetic["features"][held["synthetic"]],
        train_patients=comparison.real.patients(TRAIN)[held["train"]],
        test_patients=view.test_patients[held["test"]],
        provenance=view.extractor.provenance,
        n_bootstrap=comparison.config.n_bootstrap,
        rng=comparison.rng(f"by finding {view.name} {at}"),
    )
    return counts | {
        "value": found.value,
        "interval": found.interval,
        "floor": found.floor,
        "relative": found.relative,
        "relative_interval": found.relative_interval,
        "n": found.n_synthetic,
        "status": "computed",
    }
