"""Who follows a training from outside: told once what it is, then each row of its table as it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Hear = Callable[[Mapping[str, str]], None]
"""Told each row, by column, as the CSV holds it; neither waits nor raises."""
Follow = Callable[[str, str, Mapping[str, Any]], Hear]
"""(fingerprint of the films, fingerprint of the training, its parameters) -> who hears the rows."""


def nobody(films: str, training: str, parameters: Mapping[str, Any]) -> Hear:
    """Follow nothing."""
    return lambda row: None
