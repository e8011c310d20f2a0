"""Messages of errors: one line that a terminal can show, whatever a file of others contains."""

from __future__ import annotations

import pickle

import pytest

from synthcxr.errors import DataError


def test_a_plain_message_is_kept() -> None:
    """A message of one line is not changed."""
    message = "C:\\films\\é.png: not a readable image (“x”); replace it"
    assert str(DataError(message)) == message


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\x85b", "a\u2028b", "\x1b[31mred", "a\0b", "\ud800", "\u202ex"])
def test_a_message_is_one_line_of_text(text: str) -> None:
    """Line ends, control characters, direction changes and lone surrogates of a quoted text do not reach the line."""
    line = str(DataError(f"x.csv:1: {text} is not a finding"))
    assert line.isprintable()
    assert line.encode("utf-8").decode("utf-8") == line
    assert line.endswith(" is not a finding")


def test_the_middle_of_a_long_message_is_left_out() -> None:
    """A message that quotes a long text keeps its beginning and its end."""
    line = str(DataError(f"x.csv: {'a' * 100_000} is not a finding"))
    assert len(line) < 5000
    assert line.startswith("x.csv: a")
    assert line.endswith("a is not a finding")


def test_a_message_survives_another_process() -> None:
    """An error that a worker process raised has the same message here."""
    error = DataError("a\nb\x1b" + "c" * 10_000)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
