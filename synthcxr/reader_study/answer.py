"""What a reader says of a screen: checked where it comes in, and again where it is read."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from synthcxr.data.findings import FINDINGS
from synthcxr.errors import DataError

LONGEST_COMMENT = 2000
MOST_SECONDS = 86_400.0
_TOKEN = re.compile(r"[0-9A-Za-z-]{8,64}")
_LEVELS = range(1, 6)


@dataclasses.dataclass(frozen=True)
class Answer:
    """Confidence 1 (surely real; of a pair: the left one) to 5 (surely synthetic; the right one), 3 unsure.

    Of a single image also quality 1 (poor) to 5 (excellent), and the findings seen, () for none.
    """

    confidence: int
    quality: int | None
    findings: tuple[str, ...]
    comment: str

    def as_json(self) -> str:
        """What is kept."""
        return json.dumps(dataclasses.asdict(self) | {"findings": list(self.findings)})


@dataclasses.dataclass(frozen=True)
class Save:
    """An answer to be kept over `version` (0 where there was none), which took `seconds`; `token` names this save."""

    answer: Answer
    version: int
    token: str
    seconds: float


def save(fields: Any, *, pair: bool) -> Save:
    """The save that a request's JSON asks for; DataError says in a few words what is wrong with it."""
    held = _exactly(fields, {"answer", "version", "token", "seconds"})
    version, token, seconds = held["version"], held["token"], held["seconds"]
    if type(version) is not int or not 0 <= version < 1_000_000:
        raise DataError("version: not a number of an answer")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise DataError("token: not a name of a save")
    if type(seconds) not in (int, float) or not math.isfinite(seconds) or not 0 <= seconds <= MOST_SECONDS:
        raise DataError("seconds: not a time")
    return Save(answer(held["answer"], pair=pair), version, token, float(seconds))


def answer(fields: Any, *, pair: bool) -> Answer:
    """The answer that JSON holds, complete for its kind of screen; DataError says what is wrong with it."""
    held = _exactly(fields, {"confidence", "quality", "findings", "comment"})
    if type(held["confidence"]) is not int or held["confidence"] not in _LEVELS:
        raise DataError("confidence: not one of 1 to 5")
    quality = held["quality"]
    if (quality is not None) if pair else (type(quality) is not int or quality not in _LEVELS):
        raise DataError("quality: not one of 1 to 5")
    findings = held["findings"]
    if not isinstance(findings, list) or any(name not in FINDINGS for name in findings) or (pair and findings):
        raise DataError("findings: not a list of known findings")
    comment = held["comment"]
    if not isinstance(comment, str) or len(comment) > LONGEST_COMMENT:
        raise DataError(f"comment: more than {LONGEST_COMMENT} letters")
    return Answer(held["confidence"], quality, tuple(name for name in FINDINGS if name in findings), comment)


def of_json(text: str) -> Answer:
    """The answer that was kept as `text`."""
    held = json.loads(text)
    return answer(held, pair=held["quality"] is None)


def _exactly(fields: Any, names: set[str]) -> Mapping[str, Any]:
    if not isinstance(fields, dict) or set(fields) != names:
        raise DataError(f"expected {', '.join(sorted(names))}")
    return fields
