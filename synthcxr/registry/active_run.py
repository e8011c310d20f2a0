"""The run that a project's trainings write to and that `register` ends: noted in a file, found again, left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

from synthcxr.errors import DataError
from synthcxr.storage import json_files

NOTE = Path(".cache/synthcxr/mlflow_run.json")
FILMS = "synthcxr.training_data"
_ABSENT = ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)


def tag(table: str) -> str:
    """The tag that holds the fingerprint of the training whose rows are named for `table`."""
    return f"synthcxr.{table}"


def find(client: MlflowClient, experiment_id: str, *, films: str, trainings: Mapping[str, str]) -> Run | None:
    """The run that is noted here, if its rows are of these films and of none but these trainings (by table)."""
    try:
        run_id = str(json_files.read_json(NOTE)["run_id"])
    except (DataError, KeyError, TypeError):
        return None
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == _ABSENT:
            return None
        raise
    held = run.data.tags
    fits = all(held.get(tag(table), fingerprint) == fingerprint for table, fingerprint in trainings.items())
    usable = run.info.lifecycle_stage == "active" and run.info.experiment_id == experiment_id
    return run if usable and fits and held.get(FILMS) == films else None


def note(run_id: str) -> None:
    """Let later trainings, and `register`, go on with this run."""
    json_files.write_json(NOTE, {"run_id": run_id})


def leave() -> None:
    """The run is ended: the next training begins another."""
    NOTE.unlink(missing_ok=True)
