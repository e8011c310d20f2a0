"""Features and labels of a comparison: what is cached, and which models find which findings weak."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from support.evaluation_project import CONFIG, EvaluationProject, build_project, write_labelling_model

from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.data.findings import FINDINGS
from synthcxr.evaluation.comparison import Comparison, ComparisonFeatures, find_weak_findings
from synthcxr.evaluation.features import extractors
from synthcxr.evaluation.image_sets import SyntheticSet
from synthcxr.evaluation.metrics import frechet


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> EvaluationProject:
    return build_project(tmp_path_factory.mktemp("project"))


def extract_judge_features(project: EvaluationProject, cache_folder: Path) -> ComparisonFeatures:
    """Features by the judge in the project's models."""
    synthetic = SyntheticSet.open(project.synthetic, cache_folder)
    comparison = Comparison.open(CONFIG, open_film_dataset(project.films), synthetic)
    return ComparisonFeatures.extract(extractors.extractor_from_model(project.open_judge()), comparison)


def test_the_gaussian_of_the_test_films_is_cached_by_the_judges_digest(
    project: EvaluationProject, tmp_path: Path
) -> None:
    """It is fitted to the test films, once for each judge; a judge with another digest gets its own."""

    def cached_gaussians() -> dict[str, int]:
        files = tmp_path.glob("*.npz")
        return {file.name: file.stat().st_mtime_ns for file in files if "factor" in np.load(file).files}

    gaussian = extract_judge_features(project, tmp_path).test_gaussian
    expected = frechet.fit_gaussian(project.judge_features_of_films(("test",)))
    assert gaussian.mean == pytest.approx(expected.mean, rel=1e-5)
    after_first_judge = cached_gaussians()
    assert len(after_first_judge) == 1
    assert (extract_judge_features(project, tmp_path).test_gaussian.factor == gaussian.factor).all()
    assert cached_gaussians() == after_first_judge
    models = tmp_path / "models"
    models.mkdir()
    write_labelling_model(models / "judge.onnx", "judge", seed=7)
    assert (extract_judge_features(dataclasses.replace(project, models=models), tmp_path).test_gaussian.mean).any()
    assert len(cached_gaussians()) == 2
    assert after_first_judge.items() < cached_gaussians().items()


def test_findings_without_a_reliable_threshold_are_weak(project: EvaluationProject) -> None:
    """A finding is weak when the model marks it as such, or has no threshold for it; the order is that of NIH."""
    metadata = project.open_judge().metadata
    assert find_weak_findings(metadata) == ()
    thresholds = {finding: 0.5 for finding in FINDINGS if finding != "Hernia"}
    changed = dataclasses.replace(metadata, weak=("Edema",), thresholds=thresholds)
    assert find_weak_findings(changed) == ("Edema", "Hernia")
