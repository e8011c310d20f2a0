"""Run checks on a table with great-expectations and name the rows that fail. Only this package imports the library."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from synthcxr.checks.check_result import CheckLine, CheckResult

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its imports raise deprecation warnings
    import great_expectations as gx
    from great_expectations import expectations as expectations

MAX_ROWS = 20
_SITE = "site"


@dataclasses.dataclass(frozen=True)
class Check:
    """One expectation, the name of its line and the sentence that the report shows."""

    name: str
    sentence: str
    expectation: expectations.Expectation


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
        name=name, expectations=[_number_expectation(index, check) for index, check in enumerate(checks)]
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


def _number_expectation(index: int, check: Check) -> expectations.Expectation:
    return check.expectation.copy(update={"meta": {"index": index}, "description": check.sentence})


def _make_line(check: Check, result: Any, labels: pd.Series[Any]) -> CheckLine:
    observed, bound = _describe_values(check.expectation, result.result)
    if result.success:
        return CheckLine(check.name, True, check.sentence, observed=observed, bound=bound)
    failing = result.result.get("unexpected_index_list") or []
    rows = tuple(_name_row(row, labels) for row in failing[:MAX_ROWS])
    sentence = check.sentence
    missing = _missing_columns(result.result)
    if missing:
        sentence, rows = f"{sentence}: missing", missing
    elif failing:
        sentence = f"{sentence}: fails for {len(failing):,} of {len(labels):,} rows"
    elif (reason := _find_exception(result.exception_info)) is not None:
        sentence = f"{sentence}: could not be checked ({reason})"
    elif "observed_value" in result.result:
        sentence = f"{sentence}: found {result.result['observed_value']}"
    return CheckLine(check.name, False, sentence, rows, observed=observed, bound=bound)


def _describe_values(expectation: expectations.Expectation, result: Mapping[str, Any]) -> tuple[str, str]:
    """Return the observed value and its bound as short texts; both are empty if the library gives neither."""
    if "unexpected_count" in result:
        return f"{result['unexpected_count']:,} of {result['element_count']:,} rows differ", "at most 0"
    value, parameters = result.get("observed_value"), expectation.configuration.kwargs
    if not isinstance(value, int | float):
        return "", ""
    bounds = {"value": "exactly", "threshold": "at most", "max_value": "at most", "min_value": "at least"}
    texts = (
        f"{sign} {_format_value(parameters[key], 6)}" for key, sign in bounds.items() if parameters.get(key) is not None
    )
    return _format_value(value, 4), next(texts, "")


def _format_value(value: float, digits: int) -> str:
    """Format a count in full with commas, and a float with `digits` significant digits."""
    return f"{value:.{digits}g}" if isinstance(value, float) else f"{value:,}"


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
