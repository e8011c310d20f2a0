"""A suite of expectations as a JSON file in the format of great-expectations, which a project can edit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synthcxr.checks import gx_runner
from synthcxr.checks.expectation import Check, Expectation
from synthcxr.errors import DataError
from synthcxr.storage import guarded_files, json_files


def render_suite(name: str, checks: Sequence[Check]) -> str:
    """Render a suite as JSON; `read_suite` returns the same checks."""
    rows = []
    for check in checks:
        configuration = gx_runner.build_expectation(check).configuration.to_json_dict()
        rows.append(
            {
                "type": configuration["type"],
                "kwargs": configuration["kwargs"],
                "meta": {"name": check.name},
                "description": check.sentence,
            }
        )
    return json.dumps({"name": name, "expectations": rows}, indent=2) + "\n"


def read_suite(path: Path) -> tuple[Check, ...]:
    """Read the checks of a suite file. Raises DataError that names the file and the position of an invalid entry."""
    tree = json_files.read_json(path)
    rows = tree.get("expectations") if isinstance(tree, Mapping) else None
    if not isinstance(rows, list) or not rows:
        raise DataError(f"{path}: not a suite; expected an object with a list named `expectations`")
    return tuple(_read_check(path, position, row) for position, row in enumerate(rows))


def _read_check(path: Path, position: int, row: Any) -> Check:
    if not isinstance(row, Mapping) or not isinstance(row.get("type"), str):
        raise DataError(f"{path}: expectations[{position}] has no `type`")
    meta, kwargs = row.get("meta") or {}, row.get("kwargs") or {}
    if not isinstance(meta, Mapping) or not isinstance(kwargs, Mapping):
        raise DataError(f"{path}: expectations[{position}]: `meta` and `kwargs` must be objects")
    name = str(meta.get("name") or row["type"])
    sentence = str(row.get("description") or meta.get("notes") or row["type"].replace("_", " "))
    check = Check(name, sentence, Expectation(row["type"], dict(kwargs)))
    with guarded_files.report_failure(f"{path}: expectations[{position}], {row['type'][:60]}", "an expectation"):
        gx_runner.build_expectation(check)
    return check
