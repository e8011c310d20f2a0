from __future__ import annotations

from typing import Any, cast

from synthcxr.data.metrics_schema import (
    MetricsJson,
    agreement_rows,
    finding_distances,
    is_computed,
    not_applicable,
    privacy_spaces,
    round_metrics,
)


def test_rows_are_separated_from_the_status_of_their_section() -> None:
    """Each reader returns the rows by name, without the keys of the section itself."""
    row: Any = {"status": "computed"}
    privacy = {"pixels": row, "judge": row, "status": "computed", "n_flagged_in_any": 3, "n_flagged_in_all": 0}
    assert privacy_spaces(privacy) == {"pixels": row, "judge": row}
    assert agreement_rows({"Edema": row, "status": "computed"}) == {"Edema": row}
    assert finding_distances({"Edema": row}) == {"Edema": row}
    assert finding_distances({"status": not_applicable("n = 3")}) == {}


def test_only_the_status_computed_means_computed() -> None:
    """A section that is not applicable or was not computed has no figures."""
    assert is_computed({"status": "computed"})
    assert not is_computed({"status": not_applicable("n = 3")})
    assert not is_computed({"status": "not computed: install it"})


def test_floats_are_rounded_and_nothing_else_changes() -> None:
    """Six significant digits at any depth; tuples become lists, as in JSON."""
    metrics = cast(MetricsJson, {"a": 0.123456789, "b": {"c": (1234567.0, None)}, "n": 1234567, "s": "x", "p": True})
    assert round_metrics(metrics) == {
        "a": 0.123457,
        "b": {"c": [1234570.0, None]},
        "n": 1234567,
        "s": "x",
        "p": True,
    }
