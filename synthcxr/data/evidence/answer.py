"""What a reviewer gets first: an answer to each of three questions, with its reasons and a state that colours it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal

State = Literal["passed", "open", "failed"]
"""Green, amber and red: the evidence is good, is incomplete or needs care, or speaks against the dataset."""
Key = Literal["shared", "good", "identity"]

_STATES: tuple[State, ...] = ("passed", "open", "failed")


@dataclasses.dataclass(frozen=True)
class Reason:
    """One sentence that supports an answer, and the worst state that the answer can have with it."""

    state: State
    sentence: str


@dataclasses.dataclass(frozen=True)
class Fact:
    """A figure with its name; `state` is that of the reason it gives, None if it gives none."""

    name: str
    text: str
    state: State | None = None


@dataclasses.dataclass(frozen=True)
class Answer:
    """The answer to one question: a verdict of a few words, its reasons, the worst first, and facts by name."""

    key: Key
    question: str
    state: State
    verdict: str
    reasons: tuple[Reason, ...]
    facts: tuple[Fact, ...]

    def as_dict(self) -> dict[str, Any]:
        """The JSON object of the answer."""
        return dataclasses.asdict(self) | {"facts": {fact.name: fact.text for fact in self.facts}}


def find_worst(states: Iterable[State]) -> State:
    """The worst of these states; passed if there is none."""
    return max(states, key=_STATES.index, default="passed")


def order_reasons(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """The reasons, those of the worst state first, each once."""
    unique = dict.fromkeys(reasons)
    return tuple(sorted(unique, key=lambda reason: _STATES.index(reason.state), reverse=True))


def join_words(words: Iterable[str], *, conjunction: str = "and") -> str:
    """A list in words, such as "a, b and c"."""
    *first, last = list(words) or [""]
    return f"{', '.join(first)} {conjunction} {last}" if first else last
