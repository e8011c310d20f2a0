"""The one door to both runners of checks: directly, or with great-expectations, which takes seconds to import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from synthcxr.checks import direct_runner
from synthcxr.checks.check_result import CheckResult
from synthcxr.checks.expectation import Check

if TYPE_CHECKING:
    import pandas as pd

    from synthcxr.checks.gx_runner import DataDocs


def run_checks(
    table: pd.DataFrame | Mapping[str, Sequence[Any]],
    checks: Sequence[Check],
    *,
    label: str,
    name: str,
    docs: DataDocs | None = None,
    is_direct: bool = False,
) -> CheckResult:
    """Check a table or a mapping of its columns, with great-expectations unless `is_direct`; the lines are the same.

    A failed line names rows by their value in the column `label`. `docs` gets a page named `name`.
    """
    if is_direct:
        columns = (
            table if isinstance(table, Mapping) else {str(name): values.tolist() for name, values in table.items()}
        )
        return direct_runner.run_checks(columns, checks, label=label)
    import pandas as pd  # takes half a second to import

    from synthcxr.checks import gx_runner

    return gx_runner.run_checks(pd.DataFrame(table), checks, label=label, name=name, docs=docs)
