"""Write a small project with stub models, as the trainings, `generate` and `evaluate` leave it for `register`."""

from __future__ import annotations

import contextlib
import csv
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.run_json import build_run
from support.stub_models import SIDE, write_stub_models

from synthcxr.data import images
from synthcxr.data.findings import NO_FINDING
from synthcxr.data.synthetic_dataset import METADATA_FILE, RUN_FILE, ImageRecord, to_metadata_row, write_metadata
from synthcxr.model_files import onnx_metadata
from synthcxr.project import packaged_files
from synthcxr.registry import tracking_uri
from synthcxr.storage import digests, json_files


def write_trained_model(folder: Path, *names: str) -> Path:
    """Write weights, config and metrics as a training stage does."""
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(name.encode())
    json_files.write_json(folder / "config.json", {"resolution": SIDE})
    auroc = {"value": 0.8, "interval": [0.7, 0.9]}
    score = {"n": 60, "n_positive": 9, "auroc": auroc, "average_precision": auroc}
    json_files.write_json(folder / "metrics.json", {"findings": {"Edema": score}})
    return folder


def write_results(folder: Path, *, passed: bool) -> Path:
    """Write the results of training and `evaluate`, with a verdict that passed or failed."""
    gate = {"metric": "distance.judge.relative", "value": 3.5, "threshold": 4.0 if passed else 3.0, "direction": "max"}
    gate |= {"status": "passed" if passed else "failed", "sentence": "Relative distance 3.5."}
    inapplicable = {"metric": "labels.total_variation", "value": None, "threshold": 0.6, "direction": "max"}
    inapplicable |= {"status": "not applicable", "sentence": "Not applicable."}
    json_files.write_json(folder / "verdict.json", {"passed": passed, "gates": [gate, inapplicable]})
    distance = {"value": 80.0, "interval": [75.0, 85.0], "relative": 3.5, "status": "computed"}
    distance |= {"relative_interval": [3.2, 3.9], "digest": "of the judge"}
    metrics = {"n_synthetic": 2, "n_real_test": 60, "phantom": True, "distance": {"judge": distance}}
    metrics |= {"labels": {"status": "not applicable (n = 2)"}, "checks": {"failed": 0, "lines": []}}
    json_files.write_json(folder / "metrics.json", metrics)
    for name, step in (("train_gan", "nimg"), ("train_classifier", "epoch"), ("train_judge", "epoch")):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([[step, "loss"], *([row * 100, 1 / (row + 1)] for row in range(3))])
    (folder / "snapshots").mkdir()
    grid = images.encode_png(np.zeros((16, 16), np.uint8))
    (folder / "snapshots" / "grid_000001000.png").write_bytes(grid)
    return folder


def write_dataset(folder: Path, models: Path) -> Path:
    """Write a synthetic dataset of two images whose run.json names these models."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for index in range(2):
        png = images.encode_png(np.full((SIDE, SIDE), 100 + index, np.uint8))
        (folder / "images" / f"{index}.png").write_bytes(png)
        name = f"images/{index}.png"
        record = ImageRecord(name, index, 1, "", (NO_FINDING,), (0.1,) * 14, 1.0, digests.sha256_bytes(png))
        rows.append(to_metadata_row(record))
    write_metadata(folder / METADATA_FILE, rows)
    model_digests = {kind: onnx_metadata.read(models / f"{kind}.onnx").digest for kind in ("generator", "classifier")}
    model = {"name": str(models), "digests": model_digests, "training_data": "0123456789abcdef", "phantom": True}
    model |= {"resolution": SIDE}
    run = build_run(2, model=model, command=["synthcxr", "generate"], git_revision="", git_dirty=False)
    json_files.write_json(folder / RUN_FILE, run)
    return folder


def record_evaluated_digests(results: Path, models: Path, dataset: Path) -> None:
    """Record in metrics.json that the results are of these models and this dataset."""
    metrics = json_files.read_json(results / "metrics.json")
    kinds = ("generator", "classifier", "judge")
    model_digests = {kind: onnx_metadata.read(models / f"{kind}.onnx").digest for kind in kinds}
    dataset_digest = digests.sha256_file(dataset / METADATA_FILE)
    json_files.write_json(results / "metrics.json", metrics | {"models": model_digests, "dataset": dataset_digest})


@contextlib.contextmanager
def enter_project(root: Path) -> Iterator[None]:
    """Make `root` the current folder, with its own registry; for fixtures that outlive one test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(tracking_uri.URI_VARIABLE, raising=False)
        patch.chdir(root)
        yield


def write_project(root: Path, *, passed: bool = True) -> dict[str, Any]:
    """Write everything that `register` reads; return the keyword arguments of its `run`."""
    source = packaged_files.find("params.yaml")
    assert source is not None
    shutil.copyfile(source, root / "params.yaml")
    project: dict[str, Any] = {
        "params": root / "params.yaml",
        "models": write_stub_models(root / "models" / "onnx"),
        "gan": write_trained_model(root / "models" / "gan", "generator.safetensors", "discriminator.safetensors"),
        "classifier": write_trained_model(root / "models" / "classifier", "weights.safetensors"),
        "judge": write_trained_model(root / "models" / "judge", "weights.safetensors"),
        "results": write_results(root / "results", passed=passed),
        "dataset": write_dataset(root / "data" / "synthetic", root / "models" / "onnx"),
        "out": root / "results" / "registered.json",
    }
    record_evaluated_digests(project["results"], project["models"], project["dataset"])
    return project
