"""Find the MLflow run that a project's trainings write to and that `register` ends; a file keeps its id."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

from synthcxr.config import parsing
from synthcxr.errors import DataError
from synthcxr.registry.client import TRAINING_DATA_TAG
from synthcxr.storage import json_files

RUN_ID_FILE = Path(".cache/synthcxr/mlflow_run.json")
_NOT_FOUND = ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)


class _RunIdJson(TypedDict):
    run_id: str


def training_tag(table: str) -> str:
    """Return the tag for the fingerprint of the training whose metrics start with `table`."""
    return f"synthcxr.{table}"


def find_active_run(
    client: MlflowClient, experiment_id: str, *, films: str, trainings: Mapping[str, str]
) -> Run | None:
    """Return the run of RUN_ID_FILE if it is of these films and of no other trainings, else None.

    `films` is the fingerprint of the packed films; `trainings` maps a table, such as train_gan, to the fingerprint of
    its training.
    """
    try:
        run_id = parsing.read_json(_RunIdJson, RUN_ID_FILE)["run_id"]
    except DataError:
        return None
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == _NOT_FOUND:
            return None
        raise
    tags = run.data.tags
    same_films = tags.get(TRAINING_DATA_TAG) == films
    same_trainings = all(
        tags.get(training_tag(table), fingerprint) == fingerprint for table, fingerprint in trainings.items()
    )
    usable = run.info.lifecycle_stage == "active" and run.info.experiment_id == experiment_id
    return run if usable and same_films and same_trainings else None


def save_run_id(run_id: str) -> None:
    """Let later trainings, and `register`, continue this run."""
    json_files.write_json(RUN_ID_FILE, {"run_id": run_id})


def forget() -> None:
    """Let the next training start a new run."""
    RUN_ID_FILE.unlink(missing_ok=True)
