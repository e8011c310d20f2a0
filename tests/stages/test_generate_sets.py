"""Datasets with several sets of findings, with the judge's columns, and with calibrated probabilities."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.default_request import DEFAULT_REQUEST
from support.exported_models import write_exported_models
from support.file_digests import digest_dataset
from support.paths import REPOSITORY

from synthcxr.config.schema import load_config
from synthcxr.data import image_reader, images
from synthcxr.data.findings import FINDINGS
from synthcxr.data.synthetic_dataset import (
    JUDGE_COLUMNS,
    JUDGE_FINDINGS_COLUMN,
    PROBABILITY_COLUMNS,
    read_image_records,
    read_metadata,
    read_run,
)
from synthcxr.errors import ConfigError, GateError
from synthcxr.model_files import onnx_metadata, predictions
from synthcxr.stages import distill, generate, list_labels
from synthcxr.storage import json_files
from synthcxr.synthesis.runtime.onnx_session import Session
from synthcxr.writers.generation_request import CANDIDATES_PER_PART
from synthcxr.writers.journal import Journal

pytestmark = pytest.mark.slow

CONFIG = dataclasses.replace(DEFAULT_REQUEST, n=40, batch=32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models with which about an eighth of the images show each finding."""
    return write_exported_models(tmp_path_factory.mktemp("models") / "onnx", rate=0.12)


def run_generate(model: Path, out: Path, **changes: object) -> generate.GenerateReport:
    config = dataclasses.replace(CONFIG, **changes)  # type: ignore[arg-type]
    return generate.run(config, model=model, out=out, model_name="exported")


def read_label_sets(dataset: Path) -> list[set[str]]:
    return [set(text.split("|")) for text in read_metadata(dataset)["Finding Labels"]]


def test_per_label_gives_every_finding_its_images(model: Path, tmp_path: Path) -> None:
    """--per-label 3 gives three images requested for each of the 14 findings, and each shows its finding."""
    dataset = tmp_path / "dataset"
    report = run_generate(model, dataset, per_label=3)
    table = read_metadata(dataset)
    assert report.n_images == 42 and table["requested"].value_counts().to_dict() == dict.fromkeys(FINDINGS, 3)
    label_sets = read_label_sets(dataset)
    assert all(requested in names for requested, names in zip(table["requested"], label_sets, strict=True))
    assert not table["index"].duplicated().any()


def test_per_label_combines_with_labels_and_without(model: Path, tmp_path: Path) -> None:
    """--label limits the findings that get images, and --without applies to every image."""
    dataset = tmp_path / "dataset"
    run_generate(model, dataset, per_label=2, labels=("Mass", "Edema"), without=("Hernia",))
    label_sets = read_label_sets(dataset)
    assert len(label_sets) == 4 and not any("Hernia" in names for names in label_sets)


def test_a_mixture_is_met_exactly(model: Path, tmp_path: Path) -> None:
    """The sets of findings have the shares of the table, with no other finding, and the dataset's checks cover it."""
    dataset, table = tmp_path / "dataset", tmp_path / "mix.csv"
    table.write_text("Finding Labels,share\nNo Finding,0.6\nMass,0.3\nEdema,0.1\n")
    report = run_generate(model, dataset, mix=str(table), n=20)
    counts = read_metadata(dataset)["Finding Labels"].value_counts().to_dict()
    assert counts == {"No Finding": 12, "Mass": 6, "Edema": 2}
    assert report.checks is not None and any("divergence" in line.sentence for line in report.checks.lines)


def test_an_interrupted_request_for_several_sets_resumes(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted within a set or between two, the same command gives the bytes of an uninterrupted run."""
    run_generate(model, tmp_path / "direct", per_label=3)
    append = Journal.append
    for n_lines in (2, 5):
        remaining = iter(range(n_lines))

        def append_until_interrupt(journal: Journal, line: object, remaining: object = remaining) -> None:
            append(journal, line)  # type: ignore[arg-type]
            if next(remaining, None) is None:  # type: ignore[call-overload]
                raise KeyboardInterrupt

        monkeypatch.setattr(Journal, "append", append_until_interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_generate(model, tmp_path / "resumed", per_label=3)
    monkeypatch.undo()
    run_generate(model, tmp_path / "resumed", per_label=3)
    assert digest_dataset(tmp_path / "resumed") == digest_dataset(tmp_path / "direct")


def test_a_set_that_runs_out_of_candidates_does_not_block_others(model: Path, tmp_path: Path) -> None:
    """If a finding never occurs, the other sets are written, and GateError names the finding."""
    dataset, rare = tmp_path / "dataset", shutil.copytree(model, tmp_path / "rare")
    metadata = onnx_metadata.read(rare / "classifier.onnx")
    thresholds = metadata.thresholds | {"Atelectasis": 1.5}
    onnx_metadata.amend(rare / "classifier.onnx", dataclasses.replace(metadata, thresholds=thresholds))
    with pytest.raises(GateError, match=r"too few for Atelectasis \(0 of 2\)"):
        run_generate(rare, dataset, per_label=2, labels=("Atelectasis", "Mass"), max_draws=400)
    table = read_metadata(dataset)
    assert set(table["requested"]) == {"Mass"} and (table["index"] >= CANDIDATES_PER_PART).all()


def test_contradictory_requests_are_errors(model: Path, tmp_path: Path) -> None:
    """A mix together with labels, and extending a request for several sets, are errors."""
    with pytest.raises(ConfigError, match="a mix already sets the labels"):
        run_generate(model, tmp_path / "dataset", mix="nih", labels=("Mass",))
    config = dataclasses.replace(CONFIG, per_label=2)
    with pytest.raises(ConfigError, match="cannot extend a request for several sets"):
        generate.run(config, model=model, out=tmp_path / "dataset", model_name="exported", append=True)


def test_the_judges_probabilities_are_those_of_the_written_files(model: Path, tmp_path: Path) -> None:
    """--with-judge adds columns with the judge's probabilities for the images as they are in the files."""
    dataset = tmp_path / "dataset"
    run_generate(model, dataset, with_judge=True, n=10)
    table = read_metadata(dataset)
    pixels = np.stack([images.decode_png(png) for png in image_reader.read_all(dataset, table["file_name"])])
    logits = Session.open(model / "judge.onnx", device="cpu").run(images.to_float(pixels))["logits"]
    judge_table = table[list(JUDGE_COLUMNS)]
    np.testing.assert_allclose(judge_table, predictions.to_probabilities(logits), atol=2e-6)
    assert read_image_records(dataset)[0].judge_probabilities == tuple(judge_table.iloc[0])
    assert JUDGE_COLUMNS[0] in (dataset / "croissant.json").read_text()
    assert JUDGE_FINDINGS_COLUMN in (dataset / "croissant.json").read_text()


def test_judge_findings_are_those_at_the_thresholds_in_run_json(model: Path, tmp_path: Path) -> None:
    """With a calibrated judge, columns and thresholds are calibrated alike, and the column names what reaches them."""
    folder, dataset = shutil.copytree(model, tmp_path / "calibrated_judge"), tmp_path / "dataset"
    metadata = onnx_metadata.read(folder / "judge.onnx")
    onnx_metadata.amend(folder / "judge.onnx", dataclasses.replace(metadata, calibration=CALIBRATION))
    run_generate(folder, dataset, with_judge=True, n=40)
    table, thresholds = read_metadata(dataset), read_run(dataset)["model"]["judge_thresholds"]
    for _, row in table.iterrows():
        names = [name for name in FINDINGS if name in thresholds and row[f"judge_{name}"] >= thresholds[name]]
        assert row[JUDGE_FINDINGS_COLUMN].split("|") == (names or ["No Finding"])
    raw = predictions.calibrate(predictions.stack_thresholds(metadata.thresholds), CALIBRATION)
    assert [thresholds[name] for name in FINDINGS if name in thresholds] == pytest.approx(
        raw[np.isfinite(raw)], abs=1e-6
    )


CALIBRATION = {"temperature": 2.0, "shift": dict.fromkeys(FINDINGS, -0.5), "n_films": 100}


@pytest.fixture
def calibrated_model(model: Path, tmp_path: Path) -> Path:
    """The same models, with a calibration in the classifier's metadata."""
    folder = shutil.copytree(model, tmp_path / "calibrated")
    metadata = onnx_metadata.read(folder / "classifier.onnx")
    onnx_metadata.amend(folder / "classifier.onnx", dataclasses.replace(metadata, calibration=CALIBRATION))
    return folder


def test_a_calibration_leaves_the_models_digest(model: Path, calibrated_model: Path) -> None:
    """A calibration is metadata: the digest of the graph stays the same."""
    calibrated = onnx_metadata.read(calibrated_model / "classifier.onnx")
    assert calibrated.digest == onnx_metadata.read(model / "classifier.onnx").digest
    assert calibrated.calibration == CALIBRATION


def test_a_calibration_changes_probabilities_but_not_labels(
    model: Path, calibrated_model: Path, tmp_path: Path
) -> None:
    """The same images have the same labels, and p = sigmoid(logit / temperature + shift)."""
    run_generate(model, tmp_path / "uncalibrated_dataset")
    run_generate(calibrated_model, tmp_path / "calibrated_dataset")
    before, after = read_metadata(tmp_path / "uncalibrated_dataset"), read_metadata(tmp_path / "calibrated_dataset")
    for column in ("index", "sha256", "Finding Labels"):
        assert list(before[column]) == list(after[column])
    columns = list(PROBABILITY_COLUMNS)
    logits = np.log(before[columns] / (1 - before[columns]))
    np.testing.assert_allclose(after[columns], 1 / (1 + np.exp(-(logits / 2 - 0.5))), atol=1e-5)


def test_run_json_holds_calibrated_thresholds(calibrated_model: Path, tmp_path: Path) -> None:
    """The thresholds in run.json apply to the calibrated probabilities and reproduce the labels."""
    dataset = tmp_path / "dataset"
    run_generate(calibrated_model, dataset)
    probabilities = read_metadata(dataset)[list(PROBABILITY_COLUMNS)].to_numpy()
    by_finding = json_files.read_json(dataset / "run.json")["model"]["thresholds"]
    thresholds = np.array([by_finding[name] for name in FINDINGS])
    labelled = np.array([[name in names for name in FINDINGS] for names in read_label_sets(dataset)])
    beyond_rounding = np.abs(probabilities - thresholds) > 1e-5
    assert ((probabilities >= thresholds) == labelled)[beyond_rounding].all()


def test_list_labels_estimates_the_rate_of_each_finding(model: Path) -> None:
    """--list-labels gives the share of No Finding and of each finding, with an interval around it."""
    rates = {rate.finding: rate for rate in list_labels.run(model=model, n=500, device="cpu", batch_size=32)}
    assert rates["Mass"].n_candidates == 512 and len(rates) == 15
    assert all(0.05 < rate.share < 0.2 for name, rate in rates.items() if name != "No Finding")
    fields = rates["Mass"].as_dict()
    assert fields["drawn"] == 512 and fields["found"] == rates["Mass"].n_positive
    low, high = fields["interval"]
    assert low < rates["Mass"].share < high
    assert "candidates per image" in rates["Mass"].format_line()


def test_list_labels_uses_the_counts_of_distill(model: Path, tmp_path: Path) -> None:
    """With the report of these models no image is generated; with another's, or a number of candidates, some are."""
    folder = shutil.copytree(model, tmp_path / "distilled")
    config = dataclasses.replace(
        load_config(REPOSITORY / "params.yaml").distill,
        n_pairs=1000,
        n_held=3000,
        n_led=0,
        n_measured=64,
        width=16,
        n_epochs=1,
        device="cpu",
    )
    report = distill.run(config, models=folder)

    def list_rates(n: int | None) -> tuple[list_labels.LabelRate, ...]:
        return list_labels.run(model=folder, n=n, device="cpu", batch_size=32)

    rates = {rate.finding: rate for rate in list_rates(None)}
    assert len(rates) == 15 and {rate.n_candidates for rate in rates.values()} == {3000}
    assert rates["Mass"].n_positive == report["findings"]["Mass"]["n_shown"]
    json_files.write_json(folder / "proposal.json", report | {"digest": "0" * 64})
    assert list_rates(None)[0].n_candidates == list_labels.DEFAULT_N_CANDIDATES
    assert list_rates(64)[0].n_candidates == 64
