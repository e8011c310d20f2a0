"""The words of the report."""

from __future__ import annotations

from typing import Any

import pytest

from synthcxr.report import findings, text


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
    said = text.verdict({"passed": "failed" not in statuses, "gates": [gate(status) for status in statuses]})
    assert (said.state, said.headline) == (state, headline)


def test_failed_gates_come_first() -> None:
    """Whoever reads one line of the gates reads a failed one."""
    gates = [gate("not applicable", "a", None), gate("passed", "b"), gate("failed", "c", 0.7)]
    said = text.verdict({"passed": False, "gates": gates})
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
    table, _ = text.distances({"n_real_test": 0, "distance": {"judge": known | unknown}})
    assert table.rows[0][-1] == "200 / – / 153"


@pytest.mark.parametrize(
    ("value", "said"), [(None, "–"), (0.0, "0"), (1234.5, "1,234"), (0.98, "0.98"), (-4.98e-05, "-0.00005")]
)
def test_numbers_read_at_a_glance(value: float | None, said: str) -> None:
    """Three digits, a dash for what is not known, and no exponent however small."""
    assert text.number(value) == said


def test_an_interval_stays_on_one_line() -> None:
    """No place to break: a dash between its ends would be one."""
    assert not set(text.interval([0.1, 0.2])) & set(" –-")
    assert text.auroc({"value": 0.7, "interval": [0.6, 0.8]}).split(" ")[1:] == ["(0.600\u00a0to\u00a00.800)"]


def test_what_must_be_known_stands_on_top() -> None:
    """No films, few images, and more near films or each other than chance lets be: each a sentence; else none."""
    run = {"counts": {"found": 200, "requested": 200, "draws": 200}, "model": {"phantom": False}, "complete": True}
    space = {"status": "computed", "share": 0.04, "share_interval": [0.015, 0.085]}
    alone = {"share": 0.01, "share_interval": [0.002, 0.03]}
    held = {"gates": [gate("passed", "distance.judge.relative"), gate("passed", "privacy.judge.share_low")]}
    metrics = {
        "phantom": False,
        "n_real_test": 0,
        "distance": {"judge": {"n_synthetic": 200, "n_train": 895}},
        "privacy": {
            "pixels": space | {"duplicates": alone},
            "judge": {"status": "not computed"},
            "n_flagged_in_any": 3,
        },
    }
    first, small, near = text.warnings(run=run, metrics=metrics, held=held)
    assert "this is a first look" in first
    assert "with 200 images, fewer than the 895 training films" in small
    assert "to a film that was learned from: 4.0\u00a0% (1.5\u00a0to\u00a08.5) in pixels. Look" in near
    metrics |= {"n_real_test": 60, "distance": {"judge": {"n_synthetic": 895, "n_train": 895}}}
    metrics["privacy"]["pixels"] |= {
        "share_interval": [0.005, 0.085],
        "duplicates": alone | {"share_interval": [0.2, 0.3]},
    }
    (repeats,) = text.warnings(run=run, metrics=metrics, held=held)
    assert "to another image" in repeats
