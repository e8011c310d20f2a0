"""What a suite of checks found: one line a check, with the offending rows named."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class CheckLine:
    """One check: a plain sentence of what was asked, and the names of the rows that broke it.

    `found` and `asked` are the value and its bound in a word or two, such as "0 of 600 rows differ" and "at most 0".
    """

    name: str
    passed: bool
    sentence: str
    rows: tuple[str, ...] = ()
    found: str = ""
    asked: str = ""

    def __str__(self) -> str:
        """The line as it is printed: a mark, the sentence, what was found and asked, the rows."""
        bound = f" ({self.found}, {self.asked})" if self.found else ""
        return (
            f"  {'ok    ' if self.passed else 'FAILED'} {self.sentence}{bound}{': ' if self.rows else ''}"
            + ", ".join(self.rows)
        )


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """The lines of one suite; it passed when every line did."""

    passed: bool
    lines: tuple[CheckLine, ...]

    @classmethod
    def of(cls, lines: tuple[CheckLine, ...]) -> CheckResult:
        """The result of these lines."""
        return cls(passed=all(line.passed for line in lines), lines=lines)

    @property
    def failed(self) -> tuple[CheckLine, ...]:
        """The lines that did not pass."""
        return tuple(line for line in self.lines if not line.passed)

    def as_dict(self) -> dict[str, Any]:
        """The shape of checks.json: {"passed", "failed": how many, "lines": [a CheckLine each]}."""
        lines = [dataclasses.asdict(line) | {"rows": list(line.rows)} for line in self.lines]
        return {"passed": self.passed, "failed": len(self.failed), "lines": lines}
