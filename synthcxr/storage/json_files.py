"""JSON files: written atomically, and read with limits and with errors that name the file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from synthcxr.errors import DataError
from synthcxr.storage import atomic, guarded_files
from synthcxr.storage.guarded_files import ErrorType, RefusedContentError

MAX_BYTES, MAX_DEPTH, MAX_INTEGER = 256 * guarded_files.MIB, 64, 2**64
_CONTENT = "JSON"


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically, with sorted keys, two spaces of indentation and a final newline."""
    atomic.write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path, *, error: ErrorType = DataError, advice: str = "") -> Any:
    """Parse a JSON file; `error` where it is absent or `parse_json` refuses it."""
    data = guarded_files.read_bytes(path, _CONTENT, max_bytes=MAX_BYTES, error=error, advice=advice)
    return parse_json(data, path, error=error, advice=advice)


def parse_json(data: bytes | str, name: Path | str, *, error: ErrorType = DataError, advice: str = "") -> Any:
    """Parse JSON text in UTF-8; `error`, which begins with `name`, where it is not JSON or beyond what we write.

    That is nesting deeper than MAX_DEPTH, NaN and infinity, integers of more than 64 bits, and text with NUL or with
    surrogates without partner.
    """
    with guarded_files.report_failure(name, _CONTENT, error=error, advice=advice):
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        try:
            tree = json.loads(text, parse_constant=_refuse_constant)
        except RecursionError:
            raise RefusedContentError(f"is nested deeper than {MAX_DEPTH} levels") from None
        _require_plain(tree)
    return tree


def _refuse_constant(name: str) -> NoReturn:
    raise RefusedContentError(f"contains {name}, which is not a JSON number")


def _require_plain(tree: Any) -> None:
    """Check depth, numbers and texts without recursion."""
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH + 1:
            raise RefusedContentError(f"is nested deeper than {MAX_DEPTH} levels")
        parts: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                parts += value
                parts += value.values()
            elif isinstance(value, list):
                parts += value
            else:
                _require_plain_leaf(value)
        level = parts


def _require_plain_leaf(value: Any) -> None:
    if isinstance(value, str):
        guarded_files.require_encodable(value)
    elif isinstance(value, int) and not -MAX_INTEGER < value < MAX_INTEGER:
        raise RefusedContentError("contains an integer of more than 64 bits")
    elif isinstance(value, float) and not math.isfinite(value):
        raise RefusedContentError("contains a number that is not finite")
