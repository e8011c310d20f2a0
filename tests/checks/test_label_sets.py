"""The expectation on label sets, used in another great-expectations project."""

from __future__ import annotations

from typing import Any

import great_expectations as gx
import pandas as pd
import pytest

from synthcxr.checks.label_sets import ExpectLabelSetsToBeDistributedAs

FRAME = pd.DataFrame({"dx": ["No Finding"] * 5 + ["Edema|Effusion"] * 3 + ["Effusion|Edema"] * 1 + ["Edema"] * 1})


def validate(frame: pd.DataFrame, expectation: Any) -> Any:
    """Validate a table as a project does that imports the expectation."""
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
    """The total variation of label sets does not depend on the order of names; the bound decides."""
    expectation = ExpectLabelSetsToBeDistributedAs(column="dx", reference=reference, max_value=distance + 1e-9)
    validation = validate(FRAME, expectation)
    assert validation.success
    assert validation.result["observed_value"] == pytest.approx(distance)
    tight = ExpectLabelSetsToBeDistributedAs(column="dx", reference=reference, max_value=distance - 1e-6)
    assert not validate(FRAME, tight).success


def test_the_largest_differences_are_named() -> None:
    """The details contain the sets that differ most, with observed and expected shares."""
    reference = {"No Finding": 0.5, "Edema": 0.5}
    validation = validate(FRAME, ExpectLabelSetsToBeDistributedAs(column="dx", reference=reference, max_value=0.1))
    (first, second, *_) = validation.result["details"].items()
    assert {first[0], second[0]} == {"Edema", "Edema|Effusion"}
    assert dict([first, second])["Edema|Effusion"] == {"found": pytest.approx(0.4), "wanted": 0.0}


def test_an_empty_table_fails() -> None:
    """An empty table has no distribution."""
    expectation = ExpectLabelSetsToBeDistributedAs(column="dx", reference={"Mass": 1.0}, max_value=1.0)
    assert not validate(FRAME.head(0), expectation).success


def test_another_separator() -> None:
    """Sets may use another separator."""
    frame = pd.DataFrame({"dx": ["a;b", "b;a"]})
    expectation = ExpectLabelSetsToBeDistributedAs(column="dx", reference={"a;b": 1}, max_value=0.0, separator=";")
    assert validate(frame, expectation).success
