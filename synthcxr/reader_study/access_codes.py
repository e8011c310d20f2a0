"""The code by which a reader enters: easy to type in a dim room, and not to be guessed."""

from __future__ import annotations

import hashlib
import secrets

_LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"  # without those that look alike; 31
_GROUPS, _GROUP = 4, 4


def make() -> str:
    """A new code such as k7qx-9m2f-wd3n-h8tp, one of 31 ** 16 (79 bits)."""
    letters = (secrets.choice(_LETTERS) for _ in range(_GROUPS * _GROUP))
    return "-".join("".join(next(letters) for _ in range(_GROUP)) for _ in range(_GROUPS))


def digest(code: str) -> str:
    """What is kept of a code: the sha256 of its letters, whatever their case and the dashes and blanks between."""
    letters = "".join(letter for letter in code.lower() if letter.isalnum())
    return hashlib.sha256(letters.encode("utf-8")).hexdigest()
