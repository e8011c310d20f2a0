"""The words of the report."""

from __future__ import annotations

from typing import Any

import pytest

from synthcxr.report import findings, page


def gate(status: str, metric: str = "labels.kl", value: float | None = 0.5) -> dict[str, Any]:
    """One gate of verdict.json."""
    bound = {"metric": metric, "value": value, "threshold": 0.6, "direction": "max"}
    return bound | {"status": status, "sentence": f"{metric} said."}


@pytest.mark.parametrize(
    ("statuses", "state", "headline"),
    [
        (["passed"], "passed", "The one gate passed"),
        (["passed", "passed"], "passed", "All 2 gates passed"),
        (["passed", "not applicable"], "passed", "The one gate passed; 1 gate not applicable"),
        (["passed", "failed", "failed"], "failed", "2 of 3 gates failed"),
        (["not applicable"], "open", "No gate could be applied: this report judges nothing"),
        ([], "open", "No gate could be applied: this report judges nothing"),
    ],
)
def test_headline(statuses: list[str], state: str, headline: str) -> None:
    """The verdict in one line: what failed counts first, and nothing judged is no pass."""
    said = page.verdict({"passed": "failed" not in statuses, "gates": [gate(status) for status in statuses]})
    assert (said.state, said.headline) == (state, headline)


def test_failed_gates_come_first() -> None:
    """Whoever reads one line of the gates reads a failed one."""
    gates = [gate("not applicable", "a", None), gate("passed", "b"), gate("failed", "c", 0.7)]
    said = page.verdict({"passed": False, "gates": gates})
    assert said.gates == (
        ("failed", "c said.", "c = 0.7, at most 0.6"),
        ("passed", "b said.", "b = 0.5, at most 0.6"),
        ("not applicable", "a said.", ""),
    )


def test_shares_go_from_common_to_rare() -> None:
    """No Finding first, then by how often real films show it; unknown shares last."""
    real = {"Edema": 0.1, "Mass": None, "No Finding": 0.05, "Effusion": 0.3}
    held = {"shares": {name: {"real": share} for name, share in real.items()}}
    assert list(findings.shares(held)) == ["No Finding", "Effusion", "Edema", "Mass"]


def test_distances_without_films_show_a_dash_for_what_is_not_known() -> None:
    """A set judged by what its model carries of its films has no count of training films."""
    known = {"status": "computed", "value": 2.0, "interval": None, "relative_interval": None, "n_synthetic": 200}
    unknown = {"floor": 1.0, "relative": 2.0, "floor_n": None, "n_train": None, "n_test": 153}
    table, _ = page.distances({"distance": {"judge": known | unknown}})
    assert table.rows[0][-1] == "200 / – / 153"


@pytest.mark.parametrize(
    ("value", "said"), [(None, "–"), (0.0, "0"), (1234.5, "1,234"), (0.98, "0.98"), (-4.98e-05, "-0.00005")]
)
def test_numbers_read_at_a_glance(value: float | None, said: str) -> None:
    """Three digits, a dash for what is not known, and no exponent however small."""
    assert page.number(value) == said


def test_an_interval_stays_on_one_line() -> None:
    """No place to break: a dash between its ends would be one."""
    assert not set(page.interval([0.1, 0.2])) & set(" –-")
    assert page.auroc({"value": 0.7, "interval": [0.6, 0.8]}).split(" ")[1:] == ["(0.600\u00a0to\u00a00.800)"]
