"""The answer of a reader to one screen, and its validation on arrival and when it is read from the database."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from synthcxr.data.findings import FINDINGS
from synthcxr.errors import DataError

MAX_COMMENT_LENGTH = 2000
MAX_SECONDS = 86_400.0
_TOKEN = re.compile(r"[0-9A-Za-z-]{8,64}")
_LEVELS = range(1, 6)
_INVALID_CHARACTERS = re.compile("[\0\ud800-\udfff]")
"""NUL and surrogates without a partner, which UTF-8 cannot represent."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """The answer to one screen. Field names are JSON keys.

    `confidence` runs from 1 (certainly real; in a pair: the left image is real) over 3 (unsure) to 5 (certainly
    synthetic; in a pair: the right image is real). A single image also has `quality`, from 1 (poor) to 5 (excellent),
    and the `findings` that the reader marks; () for none.
    """

    confidence: int
    quality: int | None
    findings: tuple[str, ...]
    comment: str

    def to_json(self) -> str:
        """The text that the database stores."""
        return json.dumps(dataclasses.asdict(self) | {"findings": list(self.findings)})


@dataclasses.dataclass(frozen=True)
class SaveRequest:
    """A request to store an answer.

    `version` is that of the stored answer that it replaces, 0 for the first. `token` identifies the request, so that
    sending it again changes nothing. `seconds` is the reading time.
    """

    answer: Answer
    version: int
    token: str
    seconds: float


def parse_save_request(fields: Any, *, is_pair: bool) -> SaveRequest:
    """Parse the JSON of a request; DataError says which field is invalid."""
    fields = _require_fields(fields, {"answer", "version", "token", "seconds"})
    version, token, seconds = fields["version"], fields["token"], fields["seconds"]
    if type(version) is not int or not 0 <= version < 1_000_000:
        raise DataError("version: expected an integer from 0 to 999,999")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise DataError("token: expected 8 to 64 letters, digits and dashes")
    if type(seconds) not in (int, float) or not 0 <= seconds <= MAX_SECONDS:
        raise DataError(f"seconds: expected a number from 0 to {MAX_SECONDS:,.0f}")
    return SaveRequest(parse_answer(fields["answer"], is_pair=is_pair), version, token, float(seconds))


def parse_answer(fields: Any, *, is_pair: bool) -> Answer:
    """Parse a complete answer to a single image or a pair; DataError says which field is invalid."""
    fields = _require_fields(fields, {"confidence", "quality", "findings", "comment"})
    if type(fields["confidence"]) is not int or fields["confidence"] not in _LEVELS:
        raise DataError("confidence: expected an integer from 1 to 5")
    quality = fields["quality"]
    if is_pair and quality is not None:
        raise DataError("quality: expected null for a pair")
    if not is_pair and (type(quality) is not int or quality not in _LEVELS):
        raise DataError("quality: expected an integer from 1 to 5")
    findings = fields["findings"]
    if not isinstance(findings, list) or any(name not in FINDINGS for name in findings) or (is_pair and findings):
        raise DataError("findings: expected a list of known findings, empty for a pair")
    comment = fields["comment"]
    if not isinstance(comment, str) or len(comment) > MAX_COMMENT_LENGTH:
        raise DataError(f"comment: expected a text of at most {MAX_COMMENT_LENGTH} characters")
    if _INVALID_CHARACTERS.search(comment):
        raise DataError("comment: contains a character that is not text")
    return Answer(fields["confidence"], quality, tuple(name for name in FINDINGS if name in findings), comment)


def answer_from_json(text: str) -> Answer:
    """Parse the text that the database stores; characters that are not text become U+FFFD."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"a stored answer is not valid JSON ({type(error).__name__})") from error
    if not isinstance(fields, dict):
        raise DataError("a stored answer is not a JSON object")
    if isinstance(fields.get("comment"), str):
        fields["comment"] = _INVALID_CHARACTERS.sub("\ufffd", fields["comment"])
    return parse_answer(fields, is_pair=fields.get("quality") is None)


def _require_fields(fields: Any, names: set[str]) -> Mapping[str, Any]:
    if not isinstance(fields, dict) or set(fields) != names:
        raise DataError(f"expected the fields {', '.join(sorted(names))}")
    return fields
