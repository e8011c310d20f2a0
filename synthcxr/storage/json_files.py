"""JSON files: written atomically, and read with errors that name the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from synthcxr.errors import DataError
from synthcxr.storage import atomic


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically, with sorted keys, two spaces of indentation and a final newline."""
    atomic.write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Parse a JSON file; DataError where it is absent or not valid JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: not readable as JSON: {error}") from error
