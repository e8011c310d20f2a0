"""The section "labels" of metrics.json and its tables: label distributions of images and films, both by the judge."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np

from synthcxr.data.films import TEST_SPLITS
from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.data.metrics_rows import ShareRow
from synthcxr.data.metrics_schema import COMPUTED, ClassifierLabels, Labels, Prevalence, not_applicable
from synthcxr.data.minimum_films import MIN_FILMS_FOR_DISTANCE
from synthcxr.evaluation.comparison import Comparison, JudgeLabels, detect_findings
from synthcxr.evaluation.features import extractors
from synthcxr.evaluation.features.extractors import OnnxModel
from synthcxr.evaluation.metrics import label_cooccurrence, label_distribution, label_permutation_test
from synthcxr.evaluation.metrics.label_cooccurrence import Cooccurrence
from synthcxr.evaluation.metrics.label_distribution import add_no_finding
from synthcxr.storage import atomic

SHARES_FILE, COOCCURRENCE_FILE = Path("curves/label_shares.csv"), Path("curves/cooccurrence.csv")
_SHARE_COLUMNS = ("finding", "real", "real_low", "real_high", "synthetic", "synthetic_low", "synthetic_high", "ratio")


@dataclasses.dataclass(frozen=True)
class LabelEvidence:
    """The content of the section, and the shares of pairs of findings, which go into a table."""

    section: Labels
    cooccurrence: Cooccurrence | None

    def write_tables(self, out: Path) -> None:
        """Write curves/label_shares.csv and curves/cooccurrence.csv below `out`."""
        write_shares(out / SHARES_FILE, self.section["shares"])
        if self.cooccurrence is not None:
            write_cooccurrence(out / COOCCURRENCE_FILE, self.cooccurrence)


def compare_labels(labels: JudgeLabels, *, prevalence: Prevalence | None) -> LabelEvidence:
    """Compute the section from the test films that have labels; the others may be of another population.

    `prevalence` is the comparison with a given label distribution, which the section includes.
    """
    comparison, not_judged = labels.comparison, labels.weak_findings
    patients = comparison.real.labelled.patients(TEST_SPLITS)
    extra: dict[str, object] = {} if prevalence is None else {"prevalence": prevalence}
    if len(patients) < MIN_FILMS_FOR_DISTANCE:
        empty = build_empty_section(not_applicable(f"n = {len(patients)}"), not_judged)
        return LabelEvidence(cast(Labels, dict(empty) | extra), None)
    real, synthetic = labels.labelled_films(TEST_SPLITS), labels.synthetic
    distributions = label_distribution.compare_labels(
        real=real,
        synthetic=synthetic,
        real_patients=patients,
        not_judged=not_judged,
        n_bootstrap=comparison.config.n_bootstrap,
        rng=comparison.rng("labels"),
    )
    is_judged = np.array([name not in not_judged for name in (NO_FINDING, *FINDINGS)])
    test = label_permutation_test.permutation_test(
        real=add_no_finding(real, not_judged)[:, is_judged],
        synthetic=add_no_finding(synthetic, not_judged)[:, is_judged],
        real_patients=patients,
        rng=comparison.rng("label test"),
    )
    cooccurrence = label_cooccurrence.compare_cooccurrence(real=real, synthetic=synthetic, judged=is_judged[1:])
    section = distributions.as_dict() | extra
    section["test"] = dataclasses.asdict(test)
    section["cooccurrence"] = {"difference": cooccurrence.difference, "correlation": cooccurrence.correlation}
    section["status"] = COMPUTED
    return LabelEvidence(cast(Labels, section), cooccurrence)


def build_empty_section(status: str, not_judged: tuple[str, ...]) -> Labels:
    """The section when there are too few real films."""
    return {
        "status": status,
        "shares": {},
        "total_variation": None,
        "jensen_shannon": None,
        "kl": None,
        "not_judged": not_judged,
    }


def compare_classifier_labels(comparison: Comparison, classifier: OnnxModel | None) -> ClassifierLabels:
    """The divergence of the labels in metadata.csv from the same classifier's labels of the real test films.

    It includes "No Finding" and each finding that the classifier labels reliably.
    """
    if comparison.synthetic.is_conditional:
        return {"status": not_applicable("the images were requested by label")}
    n_labelled = len(comparison.real.labelled.manifest_rows(TEST_SPLITS))
    if n_labelled < MIN_FILMS_FOR_DISTANCE:
        return {"status": not_applicable(f"n = {n_labelled}")}
    if classifier is None:
        return {"status": not_applicable("the classifier that labelled the images is not among the models")}
    outputs = comparison.real.labelled.outputs(extractors.extractor_from_model(classifier), TEST_SPLITS)
    is_judged = np.array([name not in classifier.metadata.weak for name in (NO_FINDING, *FINDINGS)])
    counts = {
        side: add_no_finding(findings).sum(axis=0)[is_judged].astype(np.float64)
        for side, findings in (
            ("real", detect_findings(outputs, classifier.metadata)),
            ("synthetic", comparison.synthetic.labels),
        )
    }
    return {
        "status": COMPUTED,
        "kl": label_distribution.kullback_leibler(**counts),
        "not_judged": list(classifier.metadata.weak),
    }


def write_shares(path: Path, shares: Mapping[str, ShareRow]) -> None:
    """Write a row per finding: its share among real films and among images, with intervals, and their ratio."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_SHARE_COLUMNS)
        for name, share in shares.items():
            real = (share["real"], *share["real_interval"])
            synthetic = (share["synthetic"], *share["synthetic_interval"])
            writer.writerow((name, *real, *synthetic, share["ratio"]))


def write_cooccurrence(path: Path, cooccurrence: Cooccurrence) -> None:
    """Write a row per pair of findings: the shares of films and of images with both."""
    rows = [("finding", "with", "real", "synthetic")] + [
        (FINDINGS[i], FINDINGS[j], f"{cooccurrence.real[i, j]:.6g}", f"{cooccurrence.synthetic[i, j]:.6g}")
        for i in range(len(FINDINGS))
        for j in range(i, len(FINDINGS))
    ]
    atomic.write_text(path, "".join(",".join(row) + "\n" for row in rows))
