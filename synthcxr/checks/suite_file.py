"""A suite of expectations as a file of the project: great-expectations' own JSON, written, edited and run again."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synthcxr.checks import group_consistency, label_sets
from synthcxr.checks.gx_runner import Expected
from synthcxr.errors import DataError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from great_expectations.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

KNOWN_HERE = (label_sets.ExpectLabelSetsToBeDistributedAs, group_consistency.ExpectGroupsToKeepToOneValue)
"""What a file may name beside the library's own: importing this module is what makes the library know them."""


def text(name: str, expected: Sequence[Expected]) -> str:
    """The JSON of a suite, by which `read` gives the same expectations again."""
    rows = []
    for item in expected:
        held = item.expectation.configuration.to_json_dict()
        rows.append(
            {"type": held["type"], "kwargs": held["kwargs"], "meta": {"name": item.name}, "description": item.sentence}
        )
    return json.dumps({"name": name, "expectations": rows}, indent=2) + "\n"


def read(path: Path) -> tuple[Expected, ...]:
    """The expectations of a file; DataError names the file, and the place of one that the library does not take."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such suite") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as JSON: {error}") from error
    rows = tree.get("expectations") if isinstance(tree, Mapping) else None
    if not isinstance(rows, list) or not rows:
        raise DataError(f"{path}: holds no suite: an object with a list of `expectations`")
    return tuple(_expected(path, at, row) for at, row in enumerate(rows))


def _expected(path: Path, at: int, row: Any) -> Expected:
    if not isinstance(row, Mapping) or not isinstance(row.get("type"), str):
        raise DataError(f"{path}: expectations[{at}] names no `type`")
    meta = row.get("meta") or {}
    try:
        expectation = ExpectationConfiguration(type=row["type"], kwargs=dict(row.get("kwargs") or {})).to_domain_obj()
    except (GreatExpectationsError, TypeError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: expectations[{at}], {row['type']}: {why}") from error
    name = str(meta.get("name") or row["type"])
    return Expected(
        name, str(row.get("description") or meta.get("notes") or row["type"].replace("_", " ")), expectation
    )
