"""The evaluate stage on images that were requested by label, and on weighted images."""

from __future__ import annotations

import pytest
from support.evaluation_project import SIDE, EvaluationProject, change_request, write_synthetic_dataset

from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.data.findings import FINDINGS


def test_requested_images_are_compared_with_films_that_have_the_findings(project: EvaluationProject) -> None:
    """54 of 60 test films have Effusion: only these, and only such training films, enter the comparison."""
    project.evaluate(
        synthetic=write_synthetic_dataset(project.root / "effusion", project.models, requested=("Effusion",))
    )
    metrics = project.read_json()
    assert metrics["n_real_test"] == 54
    assert metrics["distance"]["judge"]["n_test"] == 54
    assert metrics["distance"]["judge"]["n_train"] == 63
    assert metrics["labels"]["status"] == "computed"


def test_excluded_findings_restrict_the_films(project: EvaluationProject) -> None:
    """Images requested without a finding are compared with the films that are known to lack it."""
    synthetic = write_synthetic_dataset(project.root / "excluded", project.models)
    change_request(synthetic, without=["Effusion"])
    project.evaluate(synthetic=synthetic)
    metrics = project.read_json()
    films = open_film_dataset(project.films)
    findings = films.findings(films.rows(SIDE)[films.indices(SIDE, ("test",))])
    n_without = int((findings[:, FINDINGS.index("Effusion")] == 0).sum())
    assert metrics["n_real_test"] == n_without < len(findings)
    assert "that do not have Effusion, as requested for the images" in metrics["protocol"]["films"]


@pytest.mark.parametrize(("requested", "n"), [("Hernia", 0), ("No Finding", 6)])
def test_a_request_that_few_films_meet_is_not_applicable(project: EvaluationProject, requested: str, n: int) -> None:
    """With too few such real films, the gates on distances and labels are not applicable."""
    synthetic = write_synthetic_dataset(project.root / "requested", project.models, requested=(requested,))
    verdict = project.evaluate(synthetic=synthetic)
    assert [gate.status for gate in verdict.gates[1:]] == ["not applicable"] * 3
    assert project.read_json()["labels"]["status"] == f"not applicable (n = {n})"


def test_a_request_for_several_label_sets_has_no_comparable_films(project: EvaluationProject) -> None:
    """Comparisons with films are not applicable; memorisation and agreement are still computed."""
    synthetic = write_synthetic_dataset(project.root / "several", project.models)
    parts = [{"labels": ["Mass"], "without": [], "n": 45}, {"labels": ["Edema"], "without": [], "n": 45}]
    change_request(synthetic, parts=parts)
    project.evaluate(synthetic=synthetic)
    metrics = project.read_json()
    assert metrics["distance"]["judge"]["status"] == metrics["labels"]["status"] == "not applicable (n = 0)"
    assert metrics["by_finding"]["judge"]["status"] == "not applicable (n = 0)"
    assert "requested as 2 label sets" in metrics["protocol"]["films"]
    assert metrics["privacy"]["pixels"]["n_learned"] == 95
    assert metrics["agreement"]["status"] == "computed"


def test_requested_images_may_copy_films_without_the_findings(project: EvaluationProject) -> None:
    """The nearest film is searched among all training films, whatever their findings."""
    project.evaluate(
        synthetic=write_synthetic_dataset(project.root / "effusion", project.models, requested=("Effusion",))
    )
    assert project.read_json()["privacy"]["pixels"]["n_learned"] == 95
    assert project.read_json()["privacy"]["pixels"]["n_null"] == 66


def test_the_protocol_says_that_weighted_images_count_once(project: EvaluationProject) -> None:
    """The sentence is there when weights differ from 1, and only then."""
    synthetic = write_synthetic_dataset(project.root / "weighted", project.models)
    project.evaluate(synthetic=synthetic)
    assert "weights" not in project.read_json()["protocol"]
    table = (synthetic / "metadata.csv").read_text()
    (synthetic / "metadata.csv").write_text(table.replace(",1.000000,", ",2.500000,", 3))
    project.evaluate(synthetic=synthetic)
    assert "counts each image once" in project.read_json()["protocol"]["weights"]
