"""What must hold of the film manifest of a packed dataset."""

from __future__ import annotations

import functools

import pandas as pd

from synthcxr.checks import gx_runner
from synthcxr.checks.check_result import CheckResult
from synthcxr.checks.group_consistency import ExpectGroupsToKeepToOneValue
from synthcxr.checks.gx_runner import Docs, Expected, expectations
from synthcxr.data.films import MANIFEST_COLUMNS, SPLITS
from synthcxr.data.findings import FINDINGS

VIEWS = ("PA", "AP", "")
LABEL = "image_index"
_SMALLEST_PX = 4
_EMPTY: dict[str, str | int] = dict.fromkeys(("image_index", "patient_id", "view", "split", "sha256"), "") | {"size": 0}


def check(films: pd.DataFrame, *, resolution: int, docs: Docs | None = None) -> CheckResult:
    """Check a film manifest packed at `resolution` px; every failing line names rows by their image index.

    Where columns are missing that is the one line: nothing else can be asked. `docs` get a page, "films".
    """
    run = functools.partial(gx_runner.run, label=LABEL, name="films", docs=docs)
    if not set(MANIFEST_COLUMNS) <= set(films.columns):
        return run(films, [_columns()])
    return run(table(films), expected(resolution))


def table(films: pd.DataFrame) -> pd.DataFrame:
    """The manifest as it is checked: a null would pass, for the library leaves it out, and so becomes what fails."""
    return films.fillna(_EMPTY)


def expected(resolution: int) -> list[Expected]:
    """All that is asked of a manifest packed at `resolution` px."""
    return [_columns(), *_rows(), *_vocabulary(), *_sizes(resolution)]


def _columns() -> Expected:
    return Expected(
        "columns",
        "every column of a film manifest is there",
        expectations.ExpectTableColumnsToMatchSet(column_set=list(MANIFEST_COLUMNS), exact_match=False),
    )


def _rows() -> list[Expected]:
    return [
        Expected("films", "there is at least one film", expectations.ExpectTableRowCountToBeBetween(min_value=1)),
        Expected(
            "names",
            "every film has a name",
            expectations.ExpectColumnValuesToMatchRegex(column="image_index", regex=r"\S"),
        ),
        Expected(
            "unique names",
            "no two films share a name",
            expectations.ExpectColumnValuesToBeUnique(column="image_index"),
        ),
        Expected(
            "patients",
            "every film has a patient",
            expectations.ExpectColumnValuesToMatchRegex(column="patient_id", regex=r"\S"),
        ),
        Expected(
            "patients on one side",
            "no patient stands on two sides of the split",
            ExpectGroupsToKeepToOneValue(column_list=["patient_id", "split"]),
        ),
    ]


def _vocabulary() -> list[Expected]:
    known = {"split": SPLITS, "view": VIEWS} | dict.fromkeys(FINDINGS, (0.0, 1.0))
    sentences = {"split": f"every side is one of {', '.join(SPLITS)}", "view": "every view is PA, AP or empty"}
    return [
        Expected(
            column,
            sentences.get(column, f"{column} is 0, 1 or unknown"),
            expectations.ExpectColumnValuesToBeInSet(column=column, value_set=list(values)),
        )
        for column, values in known.items()
    ]


def _sizes(resolution: int) -> list[Expected]:
    return [
        Expected(
            "sizes",
            f"every film has {_SMALLEST_PX} px or more",
            expectations.ExpectColumnValuesToBeBetween(column="size", min_value=_SMALLEST_PX),
        ),
        Expected(
            "resolution",
            f"some film has {resolution} px or more",
            expectations.ExpectColumnMaxToBeBetween(column="size", min_value=resolution),
        ),
        Expected(
            "digests",
            "every film has the sha256 of its pixels",
            expectations.ExpectColumnValuesToMatchRegex(column="sha256", regex="^[0-9a-f]{64}$"),
        ),
    ]
