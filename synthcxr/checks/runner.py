"""The one door to both runners of checks: directly, or with great-expectations, which takes seconds to import."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from synthcxr.checks import direct_runner
from synthcxr.checks.check_result import CheckResult
from synthcxr.checks.expectation import Check

if TYPE_CHECKING:
    from synthcxr.checks.gx_runner import DataDocs


def run_checks(
    table: pd.DataFrame,
    checks: Sequence[Check],
    *,
    label: str,
    name: str,
    docs: DataDocs | None = None,
    is_direct: bool = False,
) -> CheckResult:
    """Check a table, with great-expectations unless `is_direct`; the lines are the same.

    A failed line names rows by their value in the column `label`. `docs` gets a page named `name`.
    """
    if is_direct:
        return direct_runner.run_checks(table, checks, label=label)
    from synthcxr.checks import gx_runner

    return gx_runner.run_checks(table, checks, label=label, name=name, docs=docs)
