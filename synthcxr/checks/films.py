"""Checks of the film manifest of a packed dataset."""

from __future__ import annotations

import functools

import pandas as pd

from synthcxr.checks import gx_runner
from synthcxr.checks.check_result import CheckResult
from synthcxr.checks.group_consistency import ExpectGroupsToKeepToOneValue
from synthcxr.checks.gx_runner import Check, DataDocs, expectations
from synthcxr.data.films import MANIFEST_COLUMNS, SPLITS
from synthcxr.data.findings import FINDINGS

VIEWS = ("PA", "AP", "")
LABEL_COLUMN = "image_index"
_SMALLEST_PX = 4
_NULL_REPLACEMENTS: dict[str, str | int] = dict.fromkeys(
    ("image_index", "patient_id", "view", "split", "sha256"), ""
) | {"size": 0}


def check_films(manifest: pd.DataFrame, *, resolution: int, docs: DataDocs | None = None) -> CheckResult:
    """Check a film manifest packed at `resolution` px. A failed line names rows by their image index.

    If columns are missing, only that check runs. `docs` gets a page named "films".
    """
    run = functools.partial(gx_runner.run_checks, label=LABEL_COLUMN, name="films", docs=docs)
    if not set(MANIFEST_COLUMNS) <= set(manifest.columns):
        return run(manifest, [_column_check()])
    return run(build_table(manifest), list_checks(resolution))


def build_table(manifest: pd.DataFrame) -> pd.DataFrame:
    """Replace nulls by values that fail: the library skips nulls, so they would pass."""
    return manifest.fillna(_NULL_REPLACEMENTS)


def list_checks(resolution: int) -> list[Check]:
    """List all checks of a manifest packed at `resolution` px."""
    return [_column_check(), *_row_checks(), *_vocabulary_checks(), *_size_checks(resolution)]


def _column_check() -> Check:
    return Check(
        "columns",
        "every column of a film manifest is present",
        expectations.ExpectTableColumnsToMatchSet(column_set=list(MANIFEST_COLUMNS), exact_match=False),
    )


def _row_checks() -> list[Check]:
    return [
        Check("films", "there is at least one film", expectations.ExpectTableRowCountToBeBetween(min_value=1)),
        Check(
            "names",
            "every film has a name",
            expectations.ExpectColumnValuesToMatchRegex(column="image_index", regex=r"\S"),
        ),
        Check(
            "unique names",
            "no two films have the same name",
            expectations.ExpectColumnValuesToBeUnique(column="image_index"),
        ),
        Check(
            "patients",
            "every film has a patient number",
            expectations.ExpectColumnValuesToMatchRegex(column="patient_id", regex=r"\S"),
        ),
        Check(
            "patients on one side",
            "no patient is in two splits",
            ExpectGroupsToKeepToOneValue(column_list=["patient_id", "split"]),
        ),
    ]


def _vocabulary_checks() -> list[Check]:
    known = {"split": SPLITS, "view": VIEWS} | dict.fromkeys(FINDINGS, (0.0, 1.0))
    sentences = {"split": f"every split is one of {', '.join(SPLITS)}", "view": "every view is PA, AP or empty"}
    return [
        Check(
            column,
            sentences.get(column, f"{column} is 0, 1 or unknown"),
            expectations.ExpectColumnValuesToBeInSet(column=column, value_set=list(values)),
        )
        for column, values in known.items()
    ]


def _size_checks(resolution: int) -> list[Check]:
    return [
        Check(
            "sizes",
            f"every film has at least {_SMALLEST_PX} px",
            expectations.ExpectColumnValuesToBeBetween(column="size", min_value=_SMALLEST_PX),
        ),
        Check(
            "resolution",
            f"at least one film has {resolution} px or more",
            expectations.ExpectColumnMaxToBeBetween(column="size", min_value=resolution),
        ),
        Check(
            "digests",
            "every film has the sha256 of its pixels",
            expectations.ExpectColumnValuesToMatchRegex(column="sha256", regex="^[0-9a-f]{64}$"),
        ),
    ]
