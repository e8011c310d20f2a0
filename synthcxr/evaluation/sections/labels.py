"""The evidence on labels: "labels" in metrics.json and its tables under curves/."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.evaluation.comparison import TEST, Comparison, View
from synthcxr.evaluation.features.efficientnet_lite0 import Extractor
from synthcxr.evaluation.gates import NOT_APPLICABLE
from synthcxr.evaluation.metrics import label_cooccurrence, label_distribution, label_permutation_test
from synthcxr.evaluation.metrics.frechet import MIN_FILMS
from synthcxr.evaluation.metrics.label_distribution import Bool
from synthcxr.evaluation.sections import judge_agreement, reference_prevalence
from synthcxr.model_files.onnx_metadata import Contract

SHARES, TOGETHER = Path("curves/label_shares.csv"), Path("curves/cooccurrence.csv")
_SHARE_COLUMNS = ("finding", "real", "real_low", "real_high", "synthetic", "synthetic_low", "synthetic_high", "ratio")


@dataclasses.dataclass(frozen=True)
class Labels:
    """The content of "labels", and the matrices that go into a table, or None."""

    section: dict[str, Any]
    together: label_cooccurrence.CoOccurrence | None

    def write(self, out: Path) -> None:
        """Write curves/label_shares.csv and curves/cooccurrence.csv below `out`."""
        write_shares(out / SHARES, self.section["shares"])
        if self.together is not None:
            label_cooccurrence.write(out / TOGETHER, self.together)


def weak(contract: Contract) -> tuple[str, ...]:
    """The findings that a judge cannot judge: too few val films, or no threshold."""
    return tuple(name for name in FINDINGS if name in contract.weak or name not in contract.thresholds)


def examine(judged: View, contract: Contract, *, wanted: tuple[str, dict[str, float]] | None) -> Labels:
    """All that the judge's labels say; without 50 real films there is no comparison. `wanted` is a `prevalence`."""
    comparison, not_judged = judged.comparison, weak(contract)
    made = label_distribution.present(judged.synthetic["logits"], contract.thresholds)
    beside = {} if wanted is None else {"prevalence": reference_prevalence.compare(*wanted, made, weak=not_judged)}
    if comparison.n_test < MIN_FILMS:
        empty = dict.fromkeys(("total_variation", "jensen_shannon", "kl"))
        why = f"{NOT_APPLICABLE} (n = {comparison.n_test})"
        return Labels(empty | beside | {"shares": {}, "not_judged": not_judged, "status": why}, None)
    real, patients = label_distribution.present(judged.films(TEST, "logits"), contract.thresholds), judged.test_patients
    shift = label_distribution.compare(
        real=real,
        synthetic=made,
        real_patients=patients,
        not_judged=not_judged,
        n_bootstrap=comparison.config.n_bootstrap,
        rng=comparison.rng("labels"),
    )
    counted = np.array([name not in not_judged for name in (NO_FINDING, *FINDINGS)])
    test = label_permutation_test.permutation(
        real=label_distribution.categories(real, not_judged)[:, counted],
        synthetic=label_distribution.categories(made, not_judged)[:, counted],
        real_patients=patients,
        rng=comparison.rng("label test"),
    )
    together = label_cooccurrence.compare(real=real, synthetic=made, judged=counted[1:])
    figures = {"difference": together.difference, "correlation": together.correlation}
    held = shift.as_dict() | {"test": dataclasses.asdict(test), "cooccurrence": figures} | beside
    return Labels(held | {"status": "computed"}, together)


def agreed(
    judged: View, contract: Contract, *, classifier: Contract, called: Bool, called_real: Bool
) -> dict[str, Any]:
    """The judge's agreement with the classifier's calls [n, 14] on images and [m, 14] on all test films."""
    comparison = judged.comparison
    films = comparison.real.unconditional
    logits = films.outputs(judged.extractor, TEST)["logits"]
    return judge_agreement.by_finding(
        names=FINDINGS,
        weak={*weak(contract), *weak(classifier)},
        synthetic=(called, label_distribution.present(judged.synthetic["logits"], contract.thresholds)),
        real=(called_real, label_distribution.present(logits, contract.thresholds)),
        real_patients=films.patients(TEST),
        n_bootstrap=comparison.config.n_bootstrap,
        rng=comparison.rng("agreement"),
    )


def kl_reference(
    comparison: Comparison, classifier: tuple[Extractor, Contract] | None
) -> tuple[dict[str, float] | None, str]:
    """The label distribution that metadata.csv's labels are checked against, and a sentence on it; like with like.

    Its labels are the classifier's, so the reference is what the same classifier calls the real test films.
    """
    left_out = "The suite's label divergence was left out: "
    if comparison.synthetic.chosen:
        return None, left_out + "the images were chosen by their labels."
    if comparison.n_test < MIN_FILMS:
        return None, left_out + f"{NOT_APPLICABLE} (n = {comparison.n_test})."
    if classifier is None:
        return None, left_out + "another classifier than this one labelled the images."
    extractor, contract = classifier
    present = label_distribution.present(comparison.real.outputs(extractor, TEST)["logits"], contract.thresholds)
    counts = label_distribution.categories(present).sum(axis=0).astype(float)
    held = {
        name: float(n) for name, n in zip((NO_FINDING, *FINDINGS), counts, strict=True) if name not in contract.weak
    }
    left = f", without {' and '.join(contract.weak)}" if contract.weak else ""
    return {name: n / sum(held.values()) for name, n in held.items()}, (
        "The suite's label divergence compares the labels in metadata.csv with what the same classifier calls the"
        f" real test films{left}."
    )


def write_shares(path: Path, shares: Mapping[str, Mapping[str, Any]]) -> None:
    """A row a finding: its share among real films and among images, with intervals, and the ratio."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_SHARE_COLUMNS)
        for name, share in shares.items():
            real, synthetic = (
                (share["real"], *share["real_interval"]),
                (share["synthetic"], *share["synthetic_interval"]),
            )
            writer.writerow((name, *real, *synthetic, share["ratio"]))
