"""The one way into great-expectations: a table, what is expected of it, and the rows that break it, by name."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from synthcxr.checks.result import CheckLine, CheckResult

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its imports warn of modules that Python deprecates
    import great_expectations as gx
    from great_expectations import expectations as expectations

MAX_ROWS = 20


@dataclasses.dataclass(frozen=True)
class Expected:
    """One expectation, the name of its line and the plain sentence that the report shows."""

    name: str
    sentence: str
    expectation: expectations.Expectation


def run(table: pd.DataFrame, expected: Sequence[Expected], *, label: str) -> CheckResult:
    """Check a table; a failing line names at most 20 of its rows by their value in the column `label`.

    The context is ephemeral: nothing is written, shown or sent.
    """
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False}
    table = table.reset_index(drop=True)
    suite = gx.ExpectationSuite(name="suite", expectations=[_named(at, item) for at, item in enumerate(expected)])
    asset = context.data_sources.add_pandas("tables").add_dataframe_asset("table")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": table})
    found = batch.validate(suite, result_format={"result_format": "COMPLETE"})
    by_position = {result.expectation_config.meta["at"]: result for result in found.results}
    labels = table[label] if label in table else pd.Series(table.index)
    return CheckResult.of(tuple(_line(item, by_position[at], labels) for at, item in enumerate(expected)))


def _named(at: int, item: Expected) -> expectations.Expectation:
    return item.expectation.copy(update={"meta": {"at": at}})


def _line(item: Expected, result: Any, labels: pd.Series[Any]) -> CheckLine:
    if result.success:
        return CheckLine(item.name, True, item.sentence)
    broken = result.result.get("unexpected_index_list") or []
    rows = tuple(str(labels.iloc[at]) for at in broken[:MAX_ROWS])
    sentence = item.sentence
    missing = _missing_columns(result.result)
    if missing:
        return CheckLine(item.name, False, f"{sentence}: missing", missing)
    if broken:
        sentence = f"{sentence}: not so for {len(broken):,} of {len(labels):,} rows"
    elif (why := _raised(result.exception_info)) is not None:
        sentence = f"{sentence}: could not be checked ({why})"
    elif "observed_value" in result.result:
        sentence = f"{sentence}: found {result.result['observed_value']}"
    return CheckLine(item.name, False, sentence, rows)


def _missing_columns(found: Mapping[str, Any]) -> tuple[str, ...]:
    mismatched = found.get("details", {}).get("mismatched", {})
    return tuple(mismatched.get("missing", ())) if isinstance(mismatched, Mapping) else ()


def _raised(info: Mapping[str, Any]) -> str | None:
    """The message of an expectation that could not be computed; the library keys them by metric, or not at all."""
    for entry in (info, *info.values()):
        if isinstance(entry, Mapping) and entry.get("raised_exception"):
            return " ".join(str(entry["exception_message"]).split())
    return None
