"""The sections on gates and on checks."""

from __future__ import annotations

from typing import Any, cast

import pytest
from support.evidence_files import make_check, make_gate, make_verdict

from synthcxr.data.metrics_schema import Checks
from synthcxr.report import verdict
from synthcxr.report.section import StatusLine


def test_gates_that_did_not_pass_are_listed_first() -> None:
    """Failed gates precede those that are not applicable, and those precede passed ones."""
    gates = make_gate("a"), make_gate("b", "not applicable", None), make_gate("c", "failed", 0.7)
    section = verdict.build_gates_section(make_verdict(*gates))
    assert section.status_lines == (
        StatusLine("failed", "c: failed.", "c = 0.7, target at most 0.5"),
        StatusLine("not applicable", "b: not applicable (n = 10).", ""),
        StatusLine("passed", "a: passed.", "a = 0, target at most 0.5"),
    )
    assert section.conclusion.startswith(
        "2 of 3 gates could be judged, 1 of 2 failed: c = 0.7 (target at most 0.5); not applicable: b;"
    )


@pytest.mark.parametrize(
    ("passed", "conclusion"),
    [
        (True, "All 2 checks passed."),
        (False, "1 of 2 checks failed: every digest is right (3 of 400 rows differ, required at most 0)."),
    ],
)
def test_checks_are_one_line_that_unfolds(*, passed: bool, conclusion: str) -> None:
    """The line says which check failed, with value and bound; the list is folded."""
    lines: list[Any] = [make_check("file", passed=True), make_check("digest", passed=passed)]
    section = verdict.build_checks_section(cast(Checks, {"failed": int(not passed), "lines": lines}))
    assert section.is_folded
    assert section.conclusion == conclusion
    assert section.status_lines[0].status == ("passed" if passed else "failed")
