"""Whether a candidate may become champion: every gate passed, and no figure worse beyond both intervals. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Literal

Direction = Literal["low", "high"]
Interval = tuple[float, float]

WORSE, BETTER, ALIKE = "worse", "better", "alike"
_OTHER_FILMS = "other films"
_BY_EXTRACTOR: tuple[tuple[str, str, str, Direction], ...] = (
    ("distance", "relative", "relative_interval", "low"),
    ("coverage", "relative", "relative_interval", "high"),
    ("privacy", "share", "share_interval", "low"),
)
_PIXELS = "pixels"  # of the privacy section: what is compared there needs no extractor


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """What `evaluate` found of a version: metrics.json and verdict.json, and the films that its models learned from."""

    training_data: str
    metrics: Mapping[str, Any]
    verdict: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Figure:
    """A value with its 95 % interval."""

    value: float
    interval: Interval

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.interval[0]:.4g}, {self.interval[1]:.4g}]"


@dataclasses.dataclass(frozen=True)
class Compared:
    """One figure of two versions; `finding` is worse, better, alike, or why the two cannot be compared."""

    metric: str
    candidate: Figure | None
    champion: Figure | None
    finding: str

    @property
    def judged(self) -> bool:
        """The two could be compared."""
        return self.finding in (WORSE, BETTER, ALIKE)


@dataclasses.dataclass(frozen=True)
class Decision:
    """Whether the candidate becomes champion, and the sentence why."""

    promote: bool
    why: str


def judged(verdict: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a verdict lets a version become champion, and why: every gate that applies passed, and one does."""
    gates = list(verdict.get("gates", ()))
    failed = [gate for gate in gates if gate["status"] == "failed"]
    passed = [gate for gate in gates if gate["status"] == "passed"]
    if failed or not verdict.get("passed"):
        return False, "failed: " + ("; ".join(_bound(gate) for gate in failed) or "the verdict names no gate")
    if not passed:
        return False, "no gate could be judged"
    return True, "passed: " + "; ".join(_bound(gate) for gate in passed)


def decide(candidate: Evaluated, champion: Evaluated | None) -> Decision:
    """Judge a candidate against the champion, None where there is none yet."""
    passed, why = judged(candidate.verdict)
    if not passed or champion is None:
        return Decision(passed, why)
    found = compare(candidate, champion)
    worse = [one for one in found if one.finding == WORSE]
    if worse:
        named = "; ".join(f"{one.metric} {one.candidate}, the champion's {one.champion}" for one in worse)
        return Decision(False, f"{why}; worse than the champion: {named}")
    held = [one.metric for one in found if one.judged]
    if not held:
        reasons = sorted({one.finding for one in found}) or ["no figure with an interval"]
        return Decision(False, f"{why}; cannot be compared with the champion: {', '.join(reasons)}")
    return Decision(True, f"{why}; not worse than the champion in {', '.join(held)}")


def compare(candidate: Evaluated, champion: Evaluated) -> tuple[Compared, ...]:
    """Every figure that has an interval in either of the two; only like is compared with like."""
    names = dict.fromkeys([*_figures(champion.metrics), *_figures(candidate.metrics)])
    return tuple(_compared(*name, candidate, champion) for name in names)


def _compared(
    section: str, entry: str, key: str, direction: Direction, candidate: Evaluated, champion: Evaluated
) -> Compared:
    new, old = (_figures(one.metrics).get((section, entry, key, direction)) for one in (candidate, champion))
    finding = _unlike(entry, candidate, champion) or _finding(new, old, direction)
    return Compared(f"{section}.{entry}.{key}", new, old, finding)


def _finding(new: Figure | None, old: Figure | None, direction: Direction) -> str:
    if new is None or old is None:
        return f"not computed of the {'candidate' if new is None else 'champion'}"
    if new.interval[0] > old.interval[1]:
        return WORSE if direction == "low" else BETTER
    if new.interval[1] < old.interval[0]:
        return BETTER if direction == "low" else WORSE
    return ALIKE


def _unlike(entry: str, candidate: Evaluated, champion: Evaluated) -> str:
    """What makes figures of an extractor unlike: other films, other weights, another number of films; else ""."""
    if candidate.training_data != champion.training_data:
        return _OTHER_FILMS
    if candidate.metrics.get("n_real_test") != champion.metrics.get("n_real_test"):
        return "another number of test films"
    if entry == _PIXELS:
        return ""
    digests = {one.metrics.get("distance", {}).get(entry, {}).get("digest") for one in (candidate, champion)}
    return f"another {entry}" if len(digests) > 1 or None in digests else ""


def _figures(metrics: Mapping[str, Any]) -> dict[tuple[str, str, str, Direction], Figure]:
    return dict(_found(metrics))


def _found(metrics: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str, str, Direction], Figure]]:
    for section, key, interval, direction in _BY_EXTRACTOR:
        for entry, held in (metrics.get(section) or {}).items():
            if not isinstance(held, Mapping) or held.get(key) is None or not held.get(interval):
                continue
            low, high = held[interval]
            yield (section, entry, key, direction), Figure(float(held[key]), (float(low), float(high)))


def _bound(gate: Mapping[str, Any]) -> str:
    value = "none" if gate["value"] is None else f"{gate['value']:.4g}"
    return f"{gate['metric']} {value} ({gate['direction']} {gate['threshold']:g})"
