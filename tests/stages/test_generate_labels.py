"""The generate stage: labels, requested findings, and what happens when the candidates run out."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.file_digests import digest_dataset
from support.linear_models import (
    LATENT,
    THRESHOLD,
    generate_dataset,
    write_linear_classifier,
    write_linear_generator,
)

from synthcxr.data.findings import format_finding_labels
from synthcxr.data.synthetic_dataset import PROBABILITY_COLUMNS, read_metadata
from synthcxr.errors import DataError, GateError
from synthcxr.model_files import onnx_metadata
from synthcxr.storage import json_files


def test_labels_follow_from_probabilities(linear_models: Path, tmp_path: Path) -> None:
    """`Finding Labels` are the findings whose probability reaches the threshold, or No Finding."""
    generate_dataset(linear_models, tmp_path / "x", n=40)
    table = read_metadata(tmp_path / "x")
    present = table.loc[:, list(PROBABILITY_COLUMNS)].to_numpy() >= [THRESHOLD] * 13 + [1.5]
    assert list(table["Finding Labels"]) == [format_finding_labels(row.astype(float)) for row in present]


def test_every_image_shows_the_requested_findings(linear_models: Path, tmp_path: Path) -> None:
    """Each image shows every requested finding; candidates are in order and some are rejected."""
    generate_dataset(linear_models, tmp_path / "x", labels=("effusion", "Atelectasis"), n=12)
    table = read_metadata(tmp_path / "x")
    run = json_files.read_json(tmp_path / "x" / "run.json")
    assert (table[["p_Effusion", "p_Atelectasis"]] >= THRESHOLD).all(axis=None)
    assert set(table["requested"]) == {"Atelectasis|Effusion"}
    assert table["index"].is_monotonic_increasing and table["index"].iloc[-1] > 12
    assert run["counts"]["draws"] == table["index"].iloc[-1] + 1
    assert run["counts"]["acceptance_rate"] == pytest.approx(12 / run["counts"]["draws"])


def test_no_finding_can_be_requested(tmp_path: Path) -> None:
    """--label "No Finding" accepts the images in which no probability reaches its threshold."""
    write_linear_generator(tmp_path / "model")
    write_linear_classifier(tmp_path / "model", threshold=0.9)
    report = generate_dataset(tmp_path / "model", tmp_path / "x", labels=("No Finding",), n=3)
    assert report.draws > 3
    assert set(read_metadata(tmp_path / "x")["Finding Labels"]) == {"No Finding"}


def test_weak_findings_are_named_and_thresholds_identify_a_dataset(linear_models: Path, tmp_path: Path) -> None:
    """run.json and the last line name a requested weak finding; another threshold makes another dataset."""
    generate_dataset(linear_models, tmp_path / "x")
    weak_model = shutil.copytree(linear_models, tmp_path / "weak")
    path = weak_model / "classifier.onnx"
    metadata, network = onnx_metadata.read(path), onnx.load(path)
    thresholds = metadata.thresholds | {"Hernia": 0.123}
    onnx_metadata.stamp(network, dataclasses.replace(metadata, weak=("Edema",), thresholds=thresholds))
    onnx.save(network, path)
    report = generate_dataset(weak_model, tmp_path / "y", labels=("Edema",), n=1, max_draws=5000)
    assert json_files.read_json(tmp_path / "y" / "run.json")["model"]["weak"] == ["Edema"]
    assert any(line.startswith("weak label: the threshold of Edema") for line in report.lines)
    with pytest.raises(DataError, match="another labelling"):
        generate_dataset(weak_model, tmp_path / "x")


def test_dataset_with_too_few_images_can_be_continued(linear_models: Path, tmp_path: Path) -> None:
    """If the candidates run out, the images found are in place; a larger max_draws gives the bytes of one run."""
    request = {"labels": ("Edema",), "n": 30}
    for _ in range(2):
        with pytest.raises(GateError, match=r"of 30 images of 16 px with Edema \(40 candidates drawn, \d+\.\d+% acc"):
            generate_dataset(linear_models, tmp_path / "x", **request, max_draws=40)
    run = json_files.read_json(tmp_path / "x/run.json")
    assert run["complete"] is False and run["counts"]["draws"] == 40
    assert 0 < run["counts"]["found"] == len(read_metadata(tmp_path / "x")) < 30
    generate_dataset(linear_models, tmp_path / "x", **request)
    generate_dataset(linear_models, tmp_path / "direct", **request)
    assert digest_dataset(tmp_path / "x") == digest_dataset(tmp_path / "direct")
    assert generate_dataset(linear_models, tmp_path / "x", **request, max_draws=4000).status == "already finished"


@pytest.mark.parametrize("image_format", ["png", "webdataset"])
def test_unreachable_finding_gives_an_empty_dataset(linear_models: Path, tmp_path: Path, image_format: str) -> None:
    """A finding that no image shows ends with GateError and an empty dataset, not with an endless run."""
    with pytest.raises(GateError, match="only 0 of 20 images of 16 px with Hernia .400 candidates"):
        generate_dataset(linear_models, tmp_path / "x", labels=("Hernia",), flags={"image_format": image_format})
    assert read_metadata(tmp_path / "x").empty
    assert np.load(tmp_path / "x/latents.npy", allow_pickle=False).shape == (0, LATENT)
