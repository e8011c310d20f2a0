"""What a suite of checks found: one line a check, with the offending rows named."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class CheckLine:
    """One check: a plain sentence of what was asked, and the names of the rows that broke it."""

    name: str
    passed: bool
    sentence: str
    rows: tuple[str, ...] = ()


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
        """The shape of checks.json: {"passed", "failed": how many, "lines": [{name, passed, sentence, rows}]}."""
        lines = [dataclasses.asdict(line) | {"rows": list(line.rows)} for line in self.lines]
        return {"passed": self.passed, "failed": len(self.failed), "lines": lines}
