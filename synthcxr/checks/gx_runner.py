"""Run checks on a table with great-expectations and name the rows that fail. Only this package imports the library."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from synthcxr.checks import check_line, group_consistency, label_sets
from synthcxr.checks.check_result import CheckLine, CheckResult
from synthcxr.checks.expectation import Check

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its imports raise deprecation warnings
    import great_expectations as gx
    from great_expectations import expectations
    from great_expectations.execution_engine import pandas_execution_engine
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

CUSTOM_EXPECTATIONS = (label_sets.ExpectLabelSetsToBeDistributedAs, group_consistency.ExpectGroupsToKeepToOneValue)
"""Expectations that a suite may use besides those of the library. Importing their modules registers them."""
_SITE = "site"
pandas_execution_engine.HASH_THRESHOLD = 0
"""So large a table gets no fingerprint; nothing here uses it, and computing it takes more memory than all checks."""


class DataDocs:
    """The Data Docs of great-expectations: a folder of HTML pages with the checks and their results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.context = _make_context()
        self.context.add_data_docs_site(
            site_name=_SITE,
            site_config={
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
                "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.resolve())},
            },
        )

    def validate(self, table: pd.DataFrame, suite: Any, *, label: str) -> Any:
        """Validate a table and add its page. The page names rows by their value in the column `label`."""
        batch = self.context.data_sources.add_pandas(suite.name).add_dataframe_asset("rows")
        all_rows = batch.add_batch_definition_whole_dataframe("all")
        stored_suite = self.context.suites.add(suite)
        definition = self.context.validation_definitions.add(
            gx.ValidationDefinition(name=suite.name, data=all_rows, suite=stored_suite)
        )
        checkpoint = gx.Checkpoint(
            name=suite.name, validation_definitions=[definition], result_format=_result_format(label)
        )
        run = self.context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": table})
        return next(iter(run.run_results.values()))

    def build(self) -> Path:
        """Write the pages of all validated tables and return the path of the index page."""
        self.context.build_data_docs(site_names=[_SITE])
        return self.folder / "index.html"


def run_checks(
    table: pd.DataFrame, checks: Sequence[Check], *, label: str, name: str = "suite", docs: DataDocs | None = None
) -> CheckResult:
    """Check a table. A failed line names at most 20 rows by their value in the column `label`.

    `docs` gets a page named `name`. Nothing else is written, printed or sent.
    """
    table = table.reset_index(drop=True)
    suite = gx.ExpectationSuite(
        name=name, expectations=[build_expectation(check, index) for index, check in enumerate(checks)]
    )
    if docs is None:
        asset = _make_context().data_sources.add_pandas("tables").add_dataframe_asset("table")
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": table})
        validation = batch.validate(suite, result_format={"result_format": "COMPLETE"})
    else:
        validation = docs.validate(table, suite, label=label)
    by_position = {result.expectation_config.meta["index"]: result for result in validation.results}
    labels = table[label] if label in table else pd.Series(table.index)
    return CheckResult.from_lines(
        tuple(_make_line(check, by_position[index], labels) for index, check in enumerate(checks))
    )


def _make_context() -> Any:
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False}
    return context


def _result_format(label: str) -> dict[str, Any]:
    return {"result_format": "COMPLETE", "unexpected_index_column_names": [label]}


def build_expectation(check: Check, index: int = 0) -> expectations.Expectation:
    """The expectation of a check as an object of the library; raises what the library raises for invalid ones."""
    configuration = ExpectationConfiguration(
        type=check.expectation.type,
        kwargs=dict(check.expectation.kwargs),
        meta={"index": index},
        description=check.sentence,
    )
    return configuration.to_domain_obj()


def _make_line(check: Check, result: Any, labels: pd.Series[Any]) -> CheckLine:
    values, n_rows = result.result, len(labels)
    is_of_rows, value = "unexpected_count" in values, values.get("observed_value")
    value = value.item() if isinstance(value, np.generic) else value
    observed, bound = check_line.describe_values(
        value=value if isinstance(value, int | float) else None,
        n_failing=values["unexpected_count"] if is_of_rows else None,
        n_rows=values["element_count"] if is_of_rows else n_rows,
        kwargs=check.expectation.kwargs,
    )
    if result.success:
        return CheckLine(check.name, True, check.sentence, observed=observed, bound=bound)
    failing, missing = values.get("unexpected_index_list") or [], _missing_columns(values)
    sentence = check_line.describe_failure(
        check.sentence,
        is_missing=bool(missing),
        n_failing=len(failing),
        n_rows=n_rows,
        value=value,
        exception=_find_exception(result.exception_info),
    )
    rows = missing or tuple(_name_row(row, labels) for row in failing[: check_line.MAX_ROWS])
    return CheckLine(check.name, False, sentence, rows, observed=observed, bound=bound)


def _name_row(row: Any, labels: pd.Series[Any]) -> str:
    """Name a row that the library gives by position or, for Data Docs, by its values."""
    return str(row[labels.name]) if isinstance(row, Mapping) else str(labels.iloc[row])


def _missing_columns(result: Mapping[str, Any]) -> tuple[str, ...]:
    mismatched = result.get("details", {}).get("mismatched", {})
    return tuple(mismatched.get("missing", ())) if isinstance(mismatched, Mapping) else ()


def _find_exception(info: Mapping[str, Any]) -> str | None:
    """Return the message of an exception, which the library stores directly or under a metric, or None."""
    for entry in (info, *info.values()):
        if isinstance(entry, Mapping) and entry.get("raised_exception"):
            return " ".join(str(entry["exception_message"]).split())
    return None
