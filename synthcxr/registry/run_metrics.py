"""Flatten parameters, metrics and training tables to MLflow's names, and log them in batches that MLflow accepts."""

from __future__ import annotations

import dataclasses
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from synthcxr.errors import DataError
from synthcxr.storage import csv_files

STEP_COLUMNS = ("nimg", "epoch")
PARAMS_PER_BATCH, METRICS_PER_BATCH = 100, 1000  # MLflow's limits of one log_batch call
_MAX_PARAM_LENGTH = 6000  # MLflow's limit
_NOT_ALLOWED = re.compile(r"[^\w\-. /:]")


@dataclasses.dataclass(frozen=True)
class MetricPoint:
    """One value of a metric's history; `step` is nimg or the epoch, 0 for a result."""

    name: str
    value: float
    step: int = 0


@dataclasses.dataclass(frozen=True)
class RunContents:
    """Everything that is logged with one run besides its models; `files` maps a file to its folder in the run.

    `training_data` is the fingerprint of the films. `trainings` maps a table, such as train_gan, to the fingerprint of
    its training, whose rows the run may contain already.
    """

    params: dict[str, str]
    points: tuple[MetricPoint, ...]
    tags: dict[str, str]
    files: dict[Path, str]
    training_data: str
    trainings: dict[str, str] = dataclasses.field(default_factory=dict)


def flatten(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, leaf) for every leaf of nested mappings and lists; an empty one is a leaf.

    The rows of a list are named by their finding if they have one, so that a name means the same in every run, and
    else by their position.
    """
    if isinstance(tree, Mapping) and tree:
        items = tree.items()
    elif isinstance(tree, list | tuple) and tree:
        items = {_name_row(index, value): value for index, value in enumerate(tree)}.items()
    else:
        yield name, tree
        return
    for key, value in items:
        yield from flatten(value, f"{name}.{key}" if name else str(key))


def _name_row(index: int, row: Any) -> str:
    return str(row["finding"]) if isinstance(row, Mapping) and "finding" in row else str(index)


def flatten_params(tree: Mapping[str, Any]) -> dict[str, str]:
    """Return parameters by dotted name, as text."""
    return {_to_name(name): _to_text(leaf) for name, leaf in flatten(tree)}


def flatten_metrics(tree: Mapping[str, Any], prefix: str = "") -> list[MetricPoint]:
    """Return every finite number of a tree as a metric; skip text, booleans and nulls."""
    return [
        MetricPoint(_to_name(name), float(leaf))
        for name, leaf in flatten(tree, prefix)
        if isinstance(leaf, int | float) and not isinstance(leaf, bool) and math.isfinite(leaf)
    ]


def read_curve(path: Path) -> list[MetricPoint]:
    """Read the rows of a train_*.csv as metric histories `<stem>/<column>`, with nimg or epoch as the step."""
    rows = csv_files.read_rows(path, (), advice="train again")
    if not rows:
        return []
    if not any(column in rows[0] for column in STEP_COLUMNS):
        raise DataError(f"{path}: contains neither of the columns {', '.join(STEP_COLUMNS)}; train again")
    try:
        return [point for row in rows for point in row_to_points(path.stem, row)]
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: a row contains a value that is not a number ({error}); train again") from error


def row_to_points(table: str, row: Mapping[str, str]) -> list[MetricPoint]:
    """Convert one row of a training's table to metrics `<table>/<column>`; skip empty and non-finite cells."""
    step = next(column for column in STEP_COLUMNS if column in row)
    points = [
        MetricPoint(_to_name(f"{table}/{column}"), float(value), int(float(row[step])))
        for column, value in row.items()
        if column != step and value not in ("", None)
    ]
    return [point for point in points if math.isfinite(point.value)]


def log_params(client: MlflowClient, run_id: str, params: Mapping[str, str]) -> None:
    """Log parameters to a run."""
    entries = [Param(name, value) for name, value in params.items()]
    for start in range(0, len(entries), PARAMS_PER_BATCH):
        client.log_batch(run_id, params=entries[start : start + PARAMS_PER_BATCH])


def log_points(
    client: MlflowClient, run_id: str, points: Sequence[MetricPoint], *, model_id: str | None = None
) -> None:
    """Log values to a run and, with `model_id`, to the model that they evaluate."""
    now_ms = int(time.time() * 1000)
    metrics = [Metric(point.name, point.value, now_ms, point.step, model_id=model_id) for point in points]
    for start in range(0, len(metrics), METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + METRICS_PER_BATCH])


def _to_name(name: str) -> str:
    return _NOT_ALLOWED.sub("_", name)


def _to_text(leaf: Any) -> str:
    text = "" if leaf is None else str(leaf)
    return (text.lower() if isinstance(leaf, bool) else text)[:_MAX_PARAM_LENGTH]
