"""The expectation on label sets, in a great-expectations project of somebody else's."""

from __future__ import annotations

from typing import Any

import great_expectations as gx
import pandas as pd
import pytest

from synthcxr.checks.label_sets import ExpectLabelSetsToBeDistributedAs

FRAME = pd.DataFrame({"dx": ["No Finding"] * 5 + ["Edema|Effusion"] * 3 + ["Effusion|Edema"] * 1 + ["Edema"] * 1})


def validate(frame: pd.DataFrame, expectation: Any) -> Any:
    """What a project finds that knows great-expectations and imports the expectation."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("theirs").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    return batch.validate(gx.ExpectationSuite("s", expectations=[expectation])).results[0]


@pytest.mark.parametrize(
    ("reference", "distance"),
    [
        ({"No Finding": 5, "Effusion|Edema": 4, "Edema": 1}, 0.0),
        ({"No Finding": 0.5, "Edema|Effusion": 0.3, "Edema": 0.2}, 0.1),
        ({"No Finding": 1.0}, 0.5),
        ({"Mass": 1.0}, 1.0),
    ],
)
def test_distance_of_label_sets(reference: dict[str, float], distance: float) -> None:
    """Total variation of whole sets, in any order of names, counts or shares; the bound decides on it."""
    ask = ExpectLabelSetsToBeDistributedAs(column="dx", reference=reference, max_value=distance + 1e-9)
    found = validate(FRAME, ask)
    assert found.success
    assert found.result["observed_value"] == pytest.approx(distance)
    tight = ExpectLabelSetsToBeDistributedAs(column="dx", reference=reference, max_value=distance - 1e-6)
    assert not validate(FRAME, tight).success


def test_what_lies_furthest_is_named() -> None:
    """The details hold the sets that differ most, what was found and what was wanted."""
    reference = {"No Finding": 0.5, "Edema": 0.5}
    found = validate(FRAME, ExpectLabelSetsToBeDistributedAs(column="dx", reference=reference, max_value=0.1))
    (first, second, *_) = found.result["details"].items()
    assert {first[0], second[0]} == {"Edema", "Edema|Effusion"}
    assert dict([first, second])["Edema|Effusion"] == {"found": pytest.approx(0.4), "wanted": 0.0}


def test_no_rows_are_no_pass() -> None:
    """An empty table has no distribution."""
    ask = ExpectLabelSetsToBeDistributedAs(column="dx", reference={"Mass": 1.0}, max_value=1.0)
    assert not validate(FRAME.head(0), ask).success


def test_another_separator() -> None:
    """Sets may be written in another way."""
    frame = pd.DataFrame({"dx": ["a;b", "b;a"]})
    ask = ExpectLabelSetsToBeDistributedAs(column="dx", reference={"a;b": 1}, max_value=0.0, separator=";")
    assert validate(frame, ask).success
