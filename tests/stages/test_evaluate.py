"""What the evaluate stage writes, and that its figures are those of the definitions."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from support.evaluation_project import (
    SIDE,
    EvaluationProject,
    write_synthetic_dataset,
)
from support.typed_dict_check import find_mismatches

from synthcxr.config.schema import Gate
from synthcxr.data import images
from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.data.findings import FINDINGS
from synthcxr.data.metrics_schema import MetricsJson, SummaryJson, VerdictJson
from synthcxr.data.synthetic_dataset import read_metadata
from synthcxr.evaluation.features import efficientnet_lite0
from synthcxr.evaluation.metrics import frechet, label_distribution, prdc
from synthcxr.model_files import onnx_metadata
from synthcxr.networks import efficientnet_weights

RESULT_FILES = [
    *("curves/cooccurrence.csv", "curves/label_shares.csv"),
    *("metrics.json", "privacy.csv", "summary.json", "verdict.json"),
]


def test_images_with_the_distribution_of_the_films_pass_every_gate(project: EvaluationProject) -> None:
    """The verdict is passed, in the returned value and in verdict.json, and metrics.json has every section."""
    verdict = project.evaluate()
    assert verdict.passed
    assert [gate.status for gate in verdict.gates] == ["passed"] * 4
    assert project.read_json("verdict.json") == json.loads(json.dumps(verdict.as_dict()))
    metrics = project.read_json()
    assert (metrics["n_synthetic"], metrics["n_real_test"], metrics["phantom"]) == (90, 60, False)
    assert metrics["checks"]["failed"] == 0
    assert {"files", "no leakage"} <= {line["name"] for line in metrics["checks"]["lines"]}
    assert set(metrics["labels"]["shares"]) == {"No Finding", *FINDINGS}
    distance = metrics["distance"]["judge"]
    assert distance["status"] == "computed"
    assert distance["digest"] == onnx_metadata.read(project.models / "judge.onnx").digest


def test_the_json_files_match_their_declared_schema(project: EvaluationProject) -> None:
    """No key is missing or undeclared in metrics.json, verdict.json and summary.json, and values have their types."""
    project.evaluate()
    for name, declared in (("metrics", MetricsJson), ("verdict", VerdictJson), ("summary", SummaryJson)):
        assert find_mismatches(project.read_json(f"{name}.json"), declared) == []


def test_the_distance_and_its_floor_have_equal_n_and_exclude_the_judges_own_films(project: EvaluationProject) -> None:
    """The first images, as many as train films, and the train films, each against all test films."""
    project.evaluate()
    row = project.read_json()["distance"]["judge"]
    train, test = project.judge_features_of_films(("train",)), project.judge_features_of_films(("test",))
    synthetic = project.open_judge().run(images.to_float(project.synthetic_pixels(70)))["features"]
    value, floor = (frechet.frechet_distance(real=test, synthetic=features) for features in (synthetic, train))
    assert (row["value"], row["floor"]) == pytest.approx((value, floor), rel=1e-5)
    assert row["relative"] == pytest.approx(value / floor, rel=1e-5)
    assert (row["n_synthetic"], row["floor_n"], row["n_train"], row["n_test"]) == (70, 70, 70, 60)


def test_with_fewer_images_than_training_films_the_floor_has_the_n_of_the_images(project: EvaluationProject) -> None:
    """The row gives the number of training films too."""
    project.evaluate(synthetic=write_synthetic_dataset(project.root / "few", project.models, n=55))
    row = project.read_json()["distance"]["judge"]
    assert (row["n_synthetic"], row["floor_n"], row["n_train"]) == (55, 55, 70)


def test_coverage_is_that_of_the_first_images_and_of_the_train_films(project: EvaluationProject) -> None:
    """Both sides have the N of the train films and are compared with all test films."""
    project.evaluate()
    row = project.read_json()["coverage"]["judge"]
    train, test = project.judge_features_of_films(("train",)), project.judge_features_of_films(("test",))
    synthetic = project.open_judge().run(images.to_float(project.synthetic_pixels(70)))["features"]
    for side, features in (("synthetic", synthetic), ("training", train)):
        assert row[side] == pytest.approx(vars(prdc.prdc(real=test, synthetic=features)), rel=1e-5)
    assert row["relative"] == pytest.approx(row["synthetic"]["coverage"] / row["training"]["coverage"], rel=1e-5)


def test_the_judge_labels_both_sides(project: EvaluationProject) -> None:
    """Shares are counts of the judge's labels at its thresholds, among test films and among all images."""
    project.evaluate()
    judge = project.open_judge()
    test_pixels, _ = open_film_dataset(project.films).images(SIDE, ("test",))
    shares = project.read_json()["labels"]["shares"]
    for side, pixels in (("real", test_pixels), ("synthetic", project.synthetic_pixels(90))):
        logits = judge.run(images.to_float(pixels))["logits"]
        labels = label_distribution.apply_thresholds(logits, judge.metadata.thresholds)
        expected = label_distribution.add_no_finding(labels).mean(axis=0)
        assert [shares[name][side] for name in ("No Finding", *FINDINGS)] == pytest.approx(expected.tolist(), rel=1e-5)
    table = (project.root / "results" / "curves" / "label_shares.csv").read_text().splitlines()
    assert table[0] == "finding,real,real_low,real_high,synthetic,synthetic_low,synthetic_high,ratio"
    assert [row.split(",")[0] for row in table[1:]] == ["No Finding", *FINDINGS]


def test_copies_are_flagged_and_listed_with_the_film_that_they_copy(project: EvaluationProject) -> None:
    """Three copies of train films are flagged in pixels and in features, with the manifest rows of the films."""
    train_pixels, rows = open_film_dataset(project.films).images(SIDE, ("train",))
    replacements = {k: train_pixels[9 * k] for k in (1, 2, 3)}
    synthetic = write_synthetic_dataset(project.root / "copies", project.models, replacements=replacements)
    verdict = project.evaluate(synthetic=synthetic, gates=(Gate("privacy.pixels.n_below_null", max=0.0, min=None),))
    assert not verdict.passed
    table = pd.read_csv(project.root / "results" / "privacy.csv")
    names = read_metadata(synthetic)["file_name"]
    assert table["file_name"].tolist() == names.tolist()
    section = project.read_json()["privacy"]
    for space in ("pixels", "judge"):
        assert table.loc[[1, 2, 3], f"{space} flagged"].tolist() == [1, 1, 1]
        assert table.loc[[1, 2, 3], f"{space} film"].tolist() == [int(rows[9 * k]) for k in (1, 2, 3)]
        assert {pair["image"] for pair in section[space]["pairs"][:3]} == {names[k] for k in (1, 2, 3)}
        assert section[space]["found"]["exact"]["share"] == 1
        assert (section[space]["n"], section[space]["n_learned"], section[space]["n_null"]) == (90, 95, 66)
    assert section["n_flagged_in_all"] >= 3


def test_images_with_another_distribution_fail_and_everything_is_written(project: EvaluationProject) -> None:
    """Brighter images fail: the failures are one line with value and target, and the files are complete."""
    synthetic = write_synthetic_dataset(project.root / "bright", project.models, brightness=0.3)
    verdict = project.evaluate(synthetic=synthetic)
    assert not verdict.passed
    assert re.match(r"\d of 4 gates failed: .*distance.judge.relative is \d.*, target at most 3", verdict.failures)
    assert "\n" not in verdict.failures
    assert not project.read_json("verdict.json")["passed"]
    assert project.read_json()["distance"]["judge"]["relative"] > 3


@pytest.mark.slow
def test_the_same_evaluation_writes_the_same_bytes(project: EvaluationProject) -> None:
    """The files are equal byte for byte, with features from the cache and without."""
    runs = []
    for _ in range(2):
        project.evaluate()
        results = project.root / "results"
        files = sorted(path for path in results.rglob("*") if path.is_file())
        runs.append({path.relative_to(results).as_posix(): path.read_bytes() for path in files})
    assert runs[0] == runs[1]
    assert sorted(runs[0]) == RESULT_FILES


def test_shards_give_the_figures_of_files(project: EvaluationProject) -> None:
    """A dataset as WebDataset shards has the same figures as the same dataset as PNG files."""
    project.evaluate()
    from_files = project.read_json()
    project.evaluate(synthetic=write_synthetic_dataset(project.root / "shards", project.models, shards=True))
    assert project.read_json()["distance"] == from_files["distance"]
    assert project.read_json()["labels"] == from_files["labels"]


def test_images_of_a_phantom_model_mark_the_metrics(project: EvaluationProject) -> None:
    """metrics.json has `phantom` when the images come from a model of phantoms."""
    project.evaluate(synthetic=write_synthetic_dataset(project.root / "phantom", project.models, phantom=True))
    assert project.read_json()["phantom"] is True


@pytest.mark.slow
@pytest.mark.skipif(
    efficientnet_lite0.describe_missing() is not None,
    reason=f"EfficientNet-Lite0: {efficientnet_lite0.describe_missing()}",
)
def test_an_imagenet_extractor_compares_with_all_films_of_the_gan(project: EvaluationProject) -> None:
    """EfficientNet-Lite0 was trained on no film, so train and judge films are its training films."""
    project.evaluate(extractors=("efficientnet-lite0",), gates=(), n_bootstrap=2)
    row = project.read_json()["distance"]["efficientnet-lite0"]
    assert (row["status"], row["n_train"], row["n_synthetic"]) == ("computed", 95, 90)
    assert row["digest"] == efficientnet_weights.LITE0.sha256


@pytest.mark.slow
def test_the_stage_imports_neither_torch_nor_mlflow() -> None:
    """A machine without torch can evaluate with the judge alone."""
    code = "import sys; import synthcxr.stages.evaluate; print(*({'torch', 'mlflow'} & set(sys.modules)))"
    process = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert process.stdout.split() == []


def test_label_divergence_is_a_gate_and_no_check_of_files(project: EvaluationProject) -> None:
    """A divergence above `max_label_kl` fails its own gate; the checks of files pass, because no file is damaged."""
    verdict = project.evaluate(max_label_kl=1e-9)
    assert [gate.metric for gate in verdict.gates if gate.status == "failed"] == ["labels.classifier.kl"]
    metrics = project.read_json()
    assert metrics["checks"]["failed"] == 0
    assert metrics["labels"]["classifier"]["kl"] == pytest.approx(verdict.gates[-1].value)


def test_a_failed_check_is_named_with_value_and_bound(project: EvaluationProject) -> None:
    """The sentence, the failures and verdict.json name the check that failed, and not only how many failed."""
    table = project.synthetic / "metadata.csv"
    synthetic = project.root / "weights"
    shutil.copytree(project.synthetic, synthetic)
    rows = table.read_text().splitlines()
    weight = rows[0].split(",").index("weight")
    cells = rows[1].split(",")
    cells[weight] = "0"
    (synthetic / "metadata.csv").write_text("\n".join([rows[0], ",".join(cells), *rows[2:]]) + "\n")
    verdict = project.evaluate(synthetic=synthetic)
    gate = verdict.gates[0]
    assert (gate.metric, gate.status) == ("checks.failed", "failed")
    assert gate.detail.startswith("weight: ")
    assert "required" in gate.detail
    assert gate.detail in gate.sentence
    assert gate.detail in verdict.failures
    assert project.read_json("verdict.json")["gates"][0]["detail"] == gate.detail
