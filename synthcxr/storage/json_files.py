"""JSON files: written atomically, read with errors that name the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from synthcxr.errors import DataError
from synthcxr.storage import atomic


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all: sorted keys, two spaces, a final newline."""
    atomic.text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Parse a JSON file that synthcxr wrote; DataError names it when it is absent or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: not readable as JSON: {error}") from error
