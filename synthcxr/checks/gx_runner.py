"""The one way into great-expectations: a table, what is expected of it, and the rows that break it, by name."""

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
    warnings.simplefilter("ignore")  # its imports warn of modules that Python deprecates
    import great_expectations as gx
    from great_expectations import expectations as expectations

MAX_ROWS = 20
_SITE = "site"


@dataclasses.dataclass(frozen=True)
class Expected:
    """One expectation, the name of its line and the plain sentence that the report shows."""

    name: str
    sentence: str
    expectation: expectations.Expectation


class Docs:
    """Data Docs, the library's own pages on what was expected and found: a folder whose index.html a person opens."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.context = _context()
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
        """What the library found; the pages name rows by their value in the column `label`."""
        batch = self.context.data_sources.add_pandas(suite.name).add_dataframe_asset("rows")
        whole_table = batch.add_batch_definition_whole_dataframe("all")
        held = self.context.suites.add(suite)
        definition = self.context.validation_definitions.add(
            gx.ValidationDefinition(name=suite.name, data=whole_table, suite=held)
        )
        checkpoint = gx.Checkpoint(name=suite.name, validation_definitions=[definition], result_format=_found(label))
        run = self.context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": table})
        return next(iter(run.run_results.values()))

    def build(self) -> Path:
        """Write the pages of all that was validated; returns the one to open."""
        self.context.build_data_docs(site_names=[_SITE])
        return self.folder / "index.html"


def run(
    table: pd.DataFrame, expected: Sequence[Expected], *, label: str, name: str = "suite", docs: Docs | None = None
) -> CheckResult:
    """Check a table; a failing line names at most 20 of its rows by their value in the column `label`.

    Nothing is written, shown or sent, unless `docs` are to have a page on it, under `name`.
    """
    table = table.reset_index(drop=True)
    suite = gx.ExpectationSuite(name=name, expectations=[_named(at, item) for at, item in enumerate(expected)])
    if docs is None:
        asset = _context().data_sources.add_pandas("tables").add_dataframe_asset("table")
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": table})
        found = batch.validate(suite, result_format={"result_format": "COMPLETE"})
    else:
        found = docs.validate(table, suite, label=label)
    by_position = {result.expectation_config.meta["at"]: result for result in found.results}
    labels = table[label] if label in table else pd.Series(table.index)
    return CheckResult.of(tuple(_line(item, by_position[at], labels) for at, item in enumerate(expected)))


def _context() -> Any:
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False}
    return context


def _found(label: str) -> dict[str, Any]:
    return {"result_format": "COMPLETE", "unexpected_index_column_names": [label]}


def _named(at: int, item: Expected) -> expectations.Expectation:
    return item.expectation.copy(update={"meta": {"at": at}, "description": item.sentence})


def _line(item: Expected, result: Any, labels: pd.Series[Any]) -> CheckLine:
    found, asked = _bound(item.expectation, result.result)
    if result.success:
        return CheckLine(item.name, True, item.sentence, found=found, asked=asked)
    broken = result.result.get("unexpected_index_list") or []
    rows = tuple(_called(at, labels) for at in broken[:MAX_ROWS])
    sentence = item.sentence
    missing = _missing_columns(result.result)
    if missing:
        sentence, rows = f"{sentence}: missing", missing
    elif broken:
        sentence = f"{sentence}: not so for {len(broken):,} of {len(labels):,} rows"
    elif (why := _raised(result.exception_info)) is not None:
        sentence = f"{sentence}: could not be checked ({why})"
    elif "observed_value" in result.result:
        sentence = f"{sentence}: found {result.result['observed_value']}"
    return CheckLine(item.name, False, sentence, rows, found=found, asked=asked)


def _bound(expectation: expectations.Expectation, found: Mapping[str, Any]) -> tuple[str, str]:
    """What was found and what was asked of it, each in a word or two; empty where the library says neither."""
    if "unexpected_count" in found:
        return f"{found['unexpected_count']:,} of {found['element_count']:,} rows differ", "at most 0"
    value, asked = found.get("observed_value"), expectation.configuration.kwargs
    if not isinstance(value, int | float):
        return "", ""
    bounds = {"value": "exactly", "threshold": "at most", "max_value": "at most", "min_value": "at least"}
    words = (f"{sign} {_number(asked[key], 6)}" for key, sign in bounds.items() if asked.get(key) is not None)
    return _number(value, 4), next(words, "")


def _number(value: float, digits: int) -> str:
    """A count in full, with commas; so many digits of anything else."""
    return f"{value:.{digits}g}" if isinstance(value, float) else f"{value:,}"


def _called(at: Any, labels: pd.Series[Any]) -> str:
    """A row's name: the library gives its position, or, for its pages, its values."""
    return str(at[labels.name]) if isinstance(at, Mapping) else str(labels.iloc[at])


def _missing_columns(found: Mapping[str, Any]) -> tuple[str, ...]:
    mismatched = found.get("details", {}).get("mismatched", {})
    return tuple(mismatched.get("missing", ())) if isinstance(mismatched, Mapping) else ()


def _raised(info: Mapping[str, Any]) -> str | None:
    """The message of an expectation that could not be computed; the library keys them by metric, or not at all."""
    for entry in (info, *info.values()):
        if isinstance(entry, Mapping) and entry.get("raised_exception"):
            return " ".join(str(entry["exception_message"]).split())
    return None
