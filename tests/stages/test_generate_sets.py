"""Several sets of findings in one dataset, the judge's columns, and calibrated probabilities."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from support import default_request as asking
from support.exported_models import write_folder
from support.file_digests import digest_dataset
from support.paths import REPOSITORY

from synthcxr.config import schema as configs
from synthcxr.config.schema import DistillConfig
from synthcxr.data import image_reader, images, records
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ConfigError, GateError
from synthcxr.model_files import onnx_metadata as contracts
from synthcxr.model_files import predictions
from synthcxr.stages import distill, generate, list_labels
from synthcxr.storage import json_files
from synthcxr.synthesis.runtime.onnx_session import Session
from synthcxr.writers.generation_request import WINDOW
from synthcxr.writers.journal import Journal

pytestmark = pytest.mark.slow

CONFIG = dataclasses.replace(asking.PLAIN, n=40, batch=32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every finding shows in about an eighth of the images."""
    return write_folder(tmp_path_factory.mktemp("models") / "onnx", rate=0.12)


def make(model: Path, out: Path, **changes: object) -> generate.GenerateReport:
    config = dataclasses.replace(CONFIG, **changes)
    return generate.run(config, model=model, out=out, model_name="exported")


def shown(out: Path) -> list[set[str]]:
    return [set(text.split("|")) for text in records.read_metadata(out)["Finding Labels"]]


def test_so_many_of_each_finding(model: Path, tmp_path: Path) -> None:
    """--per-label 3 gives three images that were asked for with each finding and show it, 42 in all."""
    report = make(model, tmp_path / "x", per_label=3)
    table = records.read_metadata(tmp_path / "x")
    assert report.found == 42 and table["requested"].value_counts().to_dict() == dict.fromkeys(FINDINGS, 3)
    assert all(asked in names for asked, names in zip(table["requested"], shown(tmp_path / "x"), strict=True))
    assert not table["index"].duplicated().any()
    make(model, tmp_path / "y", per_label=2, labels=("Mass", "Edema"), without=("Hernia",))
    assert len(shown(tmp_path / "y")) == 4 and not any("Hernia" in names for names in shown(tmp_path / "y"))


def test_a_mix_is_met(model: Path, tmp_path: Path) -> None:
    """The sets of findings stand in the shares of the table, no other finding with them, and the suite says so."""
    (tmp_path / "mix.csv").write_text("Finding Labels,share\nNo Finding,0.6\nMass,0.3\nEdema,0.1\n")
    report = make(model, tmp_path / "x", mix=str(tmp_path / "mix.csv"), n=20)
    counts = records.read_metadata(tmp_path / "x")["Finding Labels"].value_counts().to_dict()
    assert counts == {"No Finding": 12, "Mass": 6, "Edema": 2}
    assert report.checks is not None and any("divergence" in line.sentence for line in report.checks.lines)


def test_stopped_and_gone_on_with(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed anywhere between two sets or within one, the same command ends with the bytes of one never stopped."""
    make(model, tmp_path / "direct", per_label=3)
    append = Journal.append
    for stop_at in (2, 5):
        lines = iter(range(stop_at))

        def stop(journal: Journal, line: object, lines: object = lines) -> None:
            append(journal, line)  # type: ignore[arg-type]
            if next(lines, None) is None:  # type: ignore[call-overload]
                raise KeyboardInterrupt

        monkeypatch.setattr(Journal, "append", stop)
        with pytest.raises(KeyboardInterrupt):
            make(model, tmp_path / "x", per_label=3)
    monkeypatch.undo()
    make(model, tmp_path / "x", per_label=3)
    assert digest_dataset(tmp_path / "x") == digest_dataset(tmp_path / "direct")


def test_a_set_that_is_not_reached_holds_up_no_other(model: Path, tmp_path: Path) -> None:
    """Where one finding never shows the rest are there, the error names it, and exit is that of a gate."""
    rare = shutil.copytree(model, tmp_path / "rare")
    held = contracts.read(rare / "classifier.onnx")
    contracts.amend(
        rare / "classifier.onnx", dataclasses.replace(held, thresholds=held.thresholds | {"Atelectasis": 1.5})
    )
    with pytest.raises(GateError, match=r"short of Atelectasis \(0 of 2\): --force"):
        make(rare, tmp_path / "x", per_label=2, labels=("Atelectasis", "Mass"), max_draws=400)
    table = records.read_metadata(tmp_path / "x")
    assert set(table["requested"]) == {"Mass"} and (table["index"] >= WINDOW).all()


def test_what_cannot_be_asked_for(model: Path, tmp_path: Path) -> None:
    """A mix beside labels, and growing a request for several sets, are errors."""
    with pytest.raises(ConfigError, match="a mix says itself what is wanted"):
        make(model, tmp_path / "x", mix="nih", labels=("Mass",))
    with pytest.raises(ConfigError, match="does not grow"):
        config = dataclasses.replace(CONFIG, per_label=2)
        generate.run(config, model=model, out=tmp_path / "x", model_name="exported", append=True)


def test_the_judges_columns(model: Path, tmp_path: Path) -> None:
    """--with-judge adds what the judge makes of the very files, and makes another dataset of it."""
    make(model, tmp_path / "x", with_judge=True, n=10)
    table = records.read_metadata(tmp_path / "x")
    pixels = np.stack([images.decode_png(png) for png in image_reader.read_all(tmp_path / "x", table["file_name"])])
    logits = Session.open(model / "judge.onnx", device="cpu").run(images.to_float(pixels))["logits"]
    np.testing.assert_allclose(table[list(records.JUDGE_COLUMNS)], predictions.probabilities(logits), atol=2e-6)
    assert records.read_records(tmp_path / "x")[0].judged == tuple(table[list(records.JUDGE_COLUMNS)].iloc[0])
    assert records.JUDGE_COLUMNS[0] in (tmp_path / "x" / "croissant.json").read_text()


def test_probabilities_are_calibrated_and_labels_are_not_moved(model: Path, tmp_path: Path) -> None:
    """With a calibration in the classifier's metadata the same images come with the same labels and other numbers.

    run.json holds the thresholds of those numbers, and the digest of the graph is what it was.
    """
    calibrated = shutil.copytree(model, tmp_path / "calibrated")
    held = contracts.read(calibrated / "classifier.onnx")
    fitted = {"temperature": 2.0, "shift": dict.fromkeys(FINDINGS, -0.5), "n_films": 100}
    amended = contracts.amend(calibrated / "classifier.onnx", dataclasses.replace(held, calibration=fitted))
    assert amended.digest == held.digest and contracts.read(calibrated / "classifier.onnx").calibration == fitted
    make(model, tmp_path / "x")
    make(calibrated, tmp_path / "y")
    plain, other = records.read_metadata(tmp_path / "x"), records.read_metadata(tmp_path / "y")
    for column in ("index", "sha256", "Finding Labels"):
        assert list(plain[column]) == list(other[column])
    columns = list(records.PROBABILITY_COLUMNS)
    logits = np.log(plain[columns] / (1 - plain[columns]))
    np.testing.assert_allclose(other[columns], 1 / (1 + np.exp(-(logits / 2 - 0.5))), atol=1e-5)
    least = json_files.read_json(tmp_path / "y" / "run.json")["model"]["thresholds"]
    sure = (other[columns] - np.array([least[name] for name in FINDINGS])).abs() > 1e-5
    present = (other[columns] >= np.array([least[name] for name in FINDINGS])).to_numpy()
    listed = np.array([[name in names for name in FINDINGS] for names in shown(tmp_path / "y")])
    assert (present == listed)[sure.to_numpy()].all()


def test_how_often_each_finding_shows(model: Path) -> None:
    """--list-labels gives each finding's share with an interval around it, and No Finding's."""
    rates = {rate.finding: rate for rate in list_labels.run(model=model, n=500, device="cpu", batch=32)}
    assert rates["Mass"].drawn == 512 and len(rates) == 15
    assert all(0.05 < rate.share < 0.2 for name, rate in rates.items() if name != "No Finding")
    low, high = rates["Mass"].as_dict()["interval"]
    assert low < rates["Mass"].share < high
    assert "candidates an image" in rates["Mass"].line()


def test_what_was_counted_when_distilling_is_taken(model: Path, tmp_path: Path) -> None:
    """With the proposal's own record of these models no image is drawn; with another's, or a number, they are."""
    told = shutil.copytree(model, tmp_path / "told")
    plain = vars(configs.load(REPOSITORY / "params.yaml").distill)
    few = {"n_pairs": 1000, "n_held": 3000, "n_led": 0, "n_measured": 64, "width": 16, "n_epochs": 1, "device": "cpu"}
    held = distill.run(DistillConfig(**plain | few), models=told)
    rates = {rate.finding: rate for rate in list_labels.run(model=told, n=None, device="cpu", batch=32)}
    assert len(rates) == 15 and {rate.drawn for rate in rates.values()} == {3000}
    assert rates["Mass"].found == held["findings"]["Mass"]["n_shown"]
    json_files.write_json(told / "proposal.json", held | {"digest": "0" * 64})
    assert list_labels.run(model=told, n=None, device="cpu", batch=32)[0].drawn == list_labels.N
    assert list_labels.run(model=told, n=64, device="cpu", batch=32)[0].drawn == 64
