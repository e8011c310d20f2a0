"""What a run is logged with: parameters, metrics and curves flattened to MLflow's names."""

from __future__ import annotations

import csv
import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from synthcxr.errors import DataError

STEPS = ("nimg", "epoch")
MAX_VALUE = 6000  # MLflow's longest parameter
_NOT_ALLOWED = re.compile(r"[^\w\-. /:]")


@dataclasses.dataclass(frozen=True)
class Point:
    """One value of a metric's history; `step` is images shown or the epoch, 0 for a result."""

    name: str
    value: float
    step: int = 0


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Everything that is logged with one run beside its models; `files` maps a file to its folder in the run.

    `trainings` holds the fingerprint of each training by the table of its rows, which may be in a run already.
    """

    params: dict[str, str]
    points: tuple[Point, ...]
    tags: dict[str, str]
    files: dict[Path, str]
    training_data: str
    trainings: dict[str, str] = dataclasses.field(default_factory=dict)


def flatten(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, leaf) of every leaf of nested mappings and lists; an empty one is a leaf."""
    if isinstance(tree, Mapping) and tree:
        items = tree.items()
    elif isinstance(tree, list | tuple) and tree:
        items = {str(at): value for at, value in enumerate(tree)}.items()
    else:
        yield name, tree
        return
    for key, value in items:
        yield from flatten(value, f"{name}.{key}" if name else str(key))


def params(tree: Mapping[str, Any]) -> dict[str, str]:
    """Parameters by dotted name, as text."""
    return {_name(name): _text(leaf) for name, leaf in flatten(tree)}


def metrics(tree: Mapping[str, Any], prefix: str = "") -> list[Point]:
    """Every finite number of a tree as a metric; text, flags and nulls are no metrics."""
    return [
        Point(_name(name), float(leaf))
        for name, leaf in flatten(tree, prefix)
        if isinstance(leaf, int | float) and not isinstance(leaf, bool) and math.isfinite(leaf)
    ]


def curve(path: Path) -> list[Point]:
    """The rows of a train_*.csv as metric histories `<stem>/<column>`, stepped by its nimg or epoch column."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return []
    if not any(column in rows[0] for column in STEPS):
        raise DataError(f"{path}: has neither of the columns {', '.join(STEPS)}; train again")
    try:
        return [point for row in rows for point in points(path.stem, row)]
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: a row is not numbers ({error}); train again") from error


def points(table: str, row: Mapping[str, str]) -> list[Point]:
    """One row of a training's table as metrics `<table>/<column>`; what is empty or not finite is left out."""
    step = next(column for column in STEPS if column in row)
    found = [
        Point(_name(f"{table}/{column}"), float(value), int(float(row[step])))
        for column, value in row.items()
        if column != step and value not in ("", None)
    ]
    return [point for point in found if math.isfinite(point.value)]


def _name(name: str) -> str:
    return _NOT_ALLOWED.sub("_", name)


def _text(leaf: Any) -> str:
    return (str(leaf).lower() if isinstance(leaf, bool) else "" if leaf is None else str(leaf))[:MAX_VALUE]
