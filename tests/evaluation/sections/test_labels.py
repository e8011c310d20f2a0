"""The section "labels": its tables, and the films that it compares with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.evaluation_project import CONFIG, EvaluationProject, build_project

from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.data.films import MANIFEST_FILE
from synthcxr.data.findings import FINDINGS
from synthcxr.data.metrics_schema import ClassifierLabels, Labels
from synthcxr.evaluation.comparison import Comparison, ComparisonFeatures, JudgeLabels
from synthcxr.evaluation.features import extractors
from synthcxr.evaluation.image_sets import SyntheticSet
from synthcxr.evaluation.metrics import label_cooccurrence
from synthcxr.evaluation.sections import labels
from synthcxr.synthesis.runtime.onnx_session import Session


def test_the_cooccurrence_table_has_one_row_for_each_pair(tmp_path: Path) -> None:
    """105 rows (14 single findings and 91 pairs) hold the shares of films and of images."""
    rng = np.random.default_rng(1)
    real, synthetic = rng.random((2, 300, len(FINDINGS))) < 0.2
    comparison = label_cooccurrence.compare_cooccurrence(
        real=real, synthetic=synthetic, judged=np.ones(len(FINDINGS), dtype=bool)
    )
    labels.write_cooccurrence(tmp_path / "curves" / "cooccurrence.csv", comparison)
    table = pd.read_csv(tmp_path / "curves" / "cooccurrence.csv")
    assert len(table) == 105
    row = table[(table["finding"] == FINDINGS[0]) & (table["with"] == FINDINGS[1])].iloc[0]
    expected = comparison.real[0, 1], comparison.synthetic[0, 1]
    assert (row["real"], row["synthetic"]) == pytest.approx(expected, rel=1e-5)


def hide_labels(films: Path, n: int) -> None:
    """Make the findings of the first `n` test films unknown."""
    manifest = pd.read_parquet(films / MANIFEST_FILE)
    rows = manifest.index[manifest["split"] == "test"][:n]
    manifest.loc[rows, list(FINDINGS)] = np.float32("nan")
    manifest.to_parquet(films / MANIFEST_FILE)


def compare(project: EvaluationProject) -> tuple[Labels, ClassifierLabels, JudgeLabels]:
    dataset = open_film_dataset(project.films)
    comparison = Comparison.open(CONFIG, dataset, SyntheticSet.open(project.synthetic, project.root / "cache"))
    judge, classifier = (
        Session.open(project.models / f"{kind}.onnx", device="cpu") for kind in ("judge", "classifier")
    )
    features = ComparisonFeatures.extract(extractors.extractor_from_model(judge), comparison)
    judge_labels = JudgeLabels(features, judge.metadata)
    section = labels.compare_labels(judge_labels, prevalence=None).section
    return section, labels.compare_classifier_labels(comparison, classifier), judge_labels


def test_label_distributions_are_those_of_films_with_labels(tmp_path: Path) -> None:
    """Test films without labels leave the comparison; with fewer than 50 others, it does not apply."""
    project = build_project(tmp_path)
    all_films = compare(project)
    assert all_films[0]["n_real"] == 60
    hide_labels(project.films, 8)
    section, by_classifier, judge_labels = compare(project)
    assert section["n_real"] == 52
    real = judge_labels.films(("test",))
    shares = {name: share["real"] for name, share in section["shares"].items()}
    assert [shares[name] for name in FINDINGS] == pytest.approx(real.mean(axis=0).tolist())
    assert by_classifier["status"] == "computed"
    assert by_classifier["kl"] != all_films[1]["kl"]
    hide_labels(project.films, 11)
    section, by_classifier, _ = compare(project)
    assert section["status"] == by_classifier["status"] == "not applicable (n = 49)"
