"""Checks of the film manifest of a packed dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synthcxr.checks import runner
from synthcxr.checks.check_result import CheckResult
from synthcxr.checks.expectation import (
    Check,
    expect_at_least,
    expect_columns,
    expect_in,
    expect_match,
    expect_maximum,
    expect_one_value,
    expect_rows,
    expect_unique,
)
from synthcxr.data.films import MANIFEST_COLUMNS, SPLITS
from synthcxr.data.findings import FINDINGS

if TYPE_CHECKING:
    import pandas as pd

    from synthcxr.checks.gx_runner import DataDocs

VIEWS = ("PA", "AP", "")
LABEL_COLUMN = "image_index"
_SMALLEST_PX = 4
_NULL_REPLACEMENTS: dict[str, str | int] = dict.fromkeys(
    ("image_index", "patient_id", "view", "split", "sha256"), ""
) | {"size": 0}


def check_films(
    manifest: pd.DataFrame, *, resolution: int, docs: DataDocs | None = None, is_direct: bool = False
) -> CheckResult:
    """Check a film manifest packed at `resolution` px. A failed line names rows by their image index.

    If columns are missing, only that check runs. `docs` gets a page named "films". great-expectations runs the checks,
    unless `is_direct`; the lines are the same, and the library takes seconds to import.
    """
    is_whole = set(MANIFEST_COLUMNS) <= set(manifest.columns)
    table, checks = (build_table(manifest), list_checks(resolution)) if is_whole else (manifest, [_column_check()])
    return runner.run_checks(table, checks, label=LABEL_COLUMN, name="films", docs=docs, is_direct=is_direct)


def build_table(manifest: pd.DataFrame) -> pd.DataFrame:
    """Replace nulls by values that fail: the library skips nulls, so they would pass."""
    return manifest.fillna(_NULL_REPLACEMENTS)


def list_checks(resolution: int) -> list[Check]:
    """List all checks of a manifest packed at `resolution` px."""
    return [_column_check(), *_row_checks(), *_vocabulary_checks(), *_size_checks(resolution)]


def _column_check() -> Check:
    return Check("columns", "every column of a film manifest is present", expect_columns(MANIFEST_COLUMNS))


def _row_checks() -> list[Check]:
    return [
        Check("films", "there is at least one film", expect_rows(1)),
        Check("names", "every film has a name", expect_match("image_index", r"\S")),
        Check("unique names", "no two films have the same name", expect_unique("image_index")),
        Check("patients", "every film has a patient number", expect_match("patient_id", r"\S")),
        Check("patients on one side", "no patient is in two splits", expect_one_value("patient_id", "split")),
    ]


def _vocabulary_checks() -> list[Check]:
    known = {"split": SPLITS, "view": VIEWS} | dict.fromkeys(FINDINGS, (0.0, 1.0))
    sentences = {"split": f"every split is one of {', '.join(SPLITS)}", "view": "every view is PA, AP or empty"}
    return [
        Check(column, sentences.get(column, f"{column} is 0, 1 or unknown"), expect_in(column, values))
        for column, values in known.items()
    ]


def _size_checks(resolution: int) -> list[Check]:
    return [
        Check("sizes", f"every film has at least {_SMALLEST_PX} px", expect_at_least("size", _SMALLEST_PX)),
        Check("resolution", f"at least one film has {resolution} px or more", expect_maximum("size", resolution)),
        Check("digests", "every film has the sha256 of its pixels", expect_match("sha256", "^[0-9a-f]{64}$")),
    ]
