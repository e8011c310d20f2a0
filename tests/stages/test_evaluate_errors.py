"""Parameters, films, models and datasets that the evaluate stage refuses, each with one line."""

from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path
from typing import Any

import pytest
from support.evaluation_project import EvaluationProject, write_labelling_model, write_synthetic_dataset

from synthcxr.config.schema import Gate
from synthcxr.data.metrics_schema import VERDICT_FILE
from synthcxr.data.synthetic_dataset import read_metadata
from synthcxr.errors import ArtifactError, ConfigError, DataError
from synthcxr.storage import json_files


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extractors": ("fid",)}, "evaluate.extractors: unknown extractor 'fid'; known: judge, efficientnet-lite0"),
        ({"gates": (Gate("distance.judge.fid", max=1.0, min=None),)}, "unknown metric 'distance.judge.fid'"),
        ({"gates": (Gate("distance.efficientnet-lite0.relative", max=4.0, min=None),)}, "unknown metric"),
        ({"n_bootstrap": 0}, "evaluate.n_bootstrap: must be at least 1"),
    ],
)
def test_wrong_parameters_are_refused_before_any_work(
    project: EvaluationProject, changes: dict[str, Any], message: str
) -> None:
    """The error names the parameter, and nothing is written."""
    with pytest.raises(ConfigError, match=message):
        project.evaluate(**changes)
    assert not list(project.root.iterdir())


def test_a_damaged_image_is_named(project: EvaluationProject) -> None:
    """An image whose bytes changed is not evaluated."""
    damaged = write_synthetic_dataset(project.root / "damaged", project.models, n=60)
    name = read_metadata(damaged)["file_name"][7]
    (damaged / name).write_bytes(b"no image")
    with pytest.raises(DataError, match=f"{name} is missing or differs from its sha256 in metadata.csv"):
        project.evaluate(synthetic=damaged)


def test_missing_inputs_are_named(project: EvaluationProject) -> None:
    """Films, dataset or judge that do not exist."""
    with pytest.raises(DataError, match="run `synthcxr prepare` first"):
        dataclasses.replace(project, films=project.root / "none").evaluate()
    with pytest.raises(DataError, match="none: does not exist"):
        project.evaluate(synthetic=project.root / "none")
    with pytest.raises(ArtifactError, match="judge.onnx: no such file"):
        dataclasses.replace(project, models=project.root / "none").evaluate()


def test_a_judge_of_another_resolution_is_refused(project: EvaluationProject) -> None:
    """The error gives both resolutions."""
    models = project.root / "larger"
    models.mkdir()
    write_labelling_model(models / "judge.onnx", "judge", seed=1, side=16)
    with pytest.raises(DataError, match="its images are 8 px, but .*judge.onnx takes 16 px"):
        dataclasses.replace(project, models=models).evaluate()


def test_a_dataset_with_a_wrong_run_json_is_refused(project: EvaluationProject) -> None:
    """run.json must have the entries that `generate` writes."""
    broken = write_synthetic_dataset(project.root / "broken", project.models, n=3)
    (broken / "run.json").write_text("{}")
    with pytest.raises(DataError, match="run.json: model: missing"):
        project.evaluate(synthetic=broken)


def test_a_full_disk_leaves_the_earlier_results(project: EvaluationProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names the file; privacy.csv and the curves, which are written first, are not replaced either."""
    results = project.root / "results"
    results.mkdir()
    (results / "privacy.csv").write_text("earlier")
    write_json = json_files.write_json

    def fail_for_verdict(path: Path, value: Any) -> None:
        if path.name == VERDICT_FILE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write_json(path, value)

    monkeypatch.setattr(json_files, "write_json", fail_for_verdict)
    with pytest.raises(DataError, match=r"results/.*verdict\.json: the disk is full; free some space and run"):
        project.evaluate()
    assert (results / "privacy.csv").read_text() == "earlier"
    assert [path.name for path in results.iterdir()] == ["privacy.csv"]
