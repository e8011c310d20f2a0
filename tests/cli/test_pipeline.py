"""The commands of the pipeline: what they need, and that trainings reach MLflow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from support.cli_runner import invoke
from support.paths import REPOSITORY

from synthcxr.registry import connection, tracking_uri


@pytest.mark.parametrize(
    "command", ["prepare", "train-classifier", "train-judge", "train-gan", "export", "distill", "register"]
)
def test_without_parameters_a_stage_says_what_it_needs(command: str, empty_folder: Path) -> None:
    """In an empty folder a stage names the missing parameter file and writes nothing."""
    result = invoke(command)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: params.yaml: no such parameter file")
    assert "synthcxr init" in result.stderr and len(result.stderr.splitlines()) == 1
    assert not list(empty_folder.iterdir())


def test_training_reaches_mlflow_while_it_runs(trained: Any, empty_folder: Path, monkeypatch: Any) -> None:
    """In a folder that has a registry, `train-judge` logs its epochs to a run there."""
    monkeypatch.delenv(tracking_uri.URI_VARIABLE, raising=False)
    client = connection.connect(tracking_uri.embedded_uri(), create=True)
    yaml = YAML()
    params = yaml.load(REPOSITORY / "params.yaml")
    params["train_judge"] |= {"resolution": 8, "width": 4, "n_epochs": 2, "n_bootstrap": 1}
    yaml.dump(params, empty_folder / "params.yaml")
    result = invoke("train-judge", "--films", trained.data)
    assert result.exit_code == 0
    epochs = [line for line in result.stderr.splitlines() if line.startswith("epoch ")]
    assert [line.split(":")[0] for line in epochs] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert all(
        re.search(r"loss \d\.\d{3}, val loss \d\.\d{3}, mean AUROC on val [01]\.\d{3}(, .* left)?$", line)
        for line in epochs
    )
    progress = ("epoch ", "training: ", "val films after epoch ", "best epoch, ")
    assert all(line.startswith(progress) for line in result.stderr.splitlines()), "nothing but progress"
    assert result.stdout.startswith("models/judge\n  trained on ") and "\n  mean AUROC of " in result.stdout
    (experiment,) = (entry for entry in client.search_experiments() if entry.name == "synthcxr")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["train_judge.width"] == "4"
    history = client.get_metric_history(run.info.run_id, "train_judge/val_loss")
    rows = (empty_folder / "results" / "train_judge.csv").read_text().splitlines()[1:]
    assert [(str(metric.step), metric.value) for metric in history] == [
        (row.split(",")[0], float(row.split(",")[2])) for row in rows
    ]
