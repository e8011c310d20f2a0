"""The result of a suite of checks: one line per check, with the names of the rows that fail it."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class CheckLine:
    """One check: the sentence that must hold, and the names of the rows for which it does not.

    `observed` and `bound` are short texts, such as "0 of 600 rows differ" and "at most 0".
    """

    name: str
    passed: bool
    sentence: str
    rows: tuple[str, ...] = ()
    observed: str = ""
    bound: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the line as it is stored in checks.json and metrics.json."""
        return {
            "name": self.name,
            "passed": self.passed,
            "sentence": self.sentence,
            "rows": list(self.rows),
            "found": self.observed,
            "asked": self.bound,
        }

    def __str__(self) -> str:
        """Format the line for printing: mark, sentence, observed value and bound, rows."""
        values = f" ({self.observed}, {self.bound})" if self.observed else ""
        return (
            f"  {'ok    ' if self.passed else 'FAILED'} {self.sentence}{values}{': ' if self.rows else ''}"
            + ", ".join(self.rows)
        )


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """The lines of one suite. The suite passes if every line passes."""

    passed: bool
    lines: tuple[CheckLine, ...]

    @classmethod
    def from_lines(cls, lines: tuple[CheckLine, ...]) -> CheckResult:
        """Build the result from its lines."""
        return cls(passed=all(line.passed for line in lines), lines=lines)

    @property
    def failed(self) -> tuple[CheckLine, ...]:
        """The lines that failed."""
        return tuple(line for line in self.lines if not line.passed)

    def as_dict(self) -> dict[str, Any]:
        """Return the content of checks.json: {"passed", "failed": number of failed lines, "lines": list of lines}."""
        return {"passed": self.passed, "failed": len(self.failed), "lines": [line.as_dict() for line in self.lines]}
