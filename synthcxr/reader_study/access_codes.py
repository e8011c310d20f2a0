"""Access codes of readers: creation, digest, and the limit on wrong codes."""

from __future__ import annotations

import collections
import hashlib
import secrets
import time
from collections.abc import Callable

_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # 31 characters, without those that look alike
_N_GROUPS, _GROUP_LENGTH = 4, 4


def create_access_code() -> str:
    """A random code such as k7qx-9m2f-wd3n-h8tp, one of 31 ** 16 (79 bits)."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP_LENGTH)) for _ in range(_N_GROUPS))
    return "-".join(groups)


def compute_code_digest(code: str) -> str:
    """The SHA-256 of the letters and digits of a code. Case, dashes and spaces make no difference."""
    characters = "".join(character for character in code.lower() if character.isalnum())
    return hashlib.sha256(characters.encode("utf-8")).hexdigest()


def get_code_group(code: str) -> str:
    """The first group of a code, which differs from reader to reader."""
    return "".join(character for character in code.lower() if character.isalnum())[:_GROUP_LENGTH]


class FailedAttempts:
    """Wrong codes by guesser: after MAX_FAILURES within PERIOD_S, the guesser must wait.

    A guesser is a client address, or an address with the first group of a code. Whoever guesses the code of a reader
    must keep its first group and then waits, while the other readers behind the same address can log in. A code of 79
    bits cannot be guessed at any rate. The limit keeps load and log small.
    """

    MAX_FAILURES, PERIOD_S, MAX_ADDRESSES = 10, 300.0, 10_000

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failures: collections.OrderedDict[str, list[float]] = collections.OrderedDict()

    def compute_wait_s(self, address: str) -> int:
        """The number of seconds that the address must wait; 0 if it need not."""
        recent = [time_s for time_s in self._failures.get(address, []) if time_s > self._now() - self.PERIOD_S]
        return 0 if len(recent) < self.MAX_FAILURES else max(1, round(recent[0] + self.PERIOD_S - self._now()))

    def record(self, address: str) -> None:
        """Record a wrong code. With more than MAX_ADDRESSES addresses, the one that failed longest ago is dropped."""
        self._failures[address] = [*self._failures.pop(address, [])[1 - self.MAX_FAILURES :], self._now()]
        if len(self._failures) > self.MAX_ADDRESSES:
            self._failures.popitem(last=False)
