"""Answers that were stored before their text and numbers were checked can still be read, and are exported safely."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from synthcxr.errors import DataError
from synthcxr.reader_study.answer import answer_from_json, parse_answer, parse_save_request
from synthcxr.reader_study.results_page import render_readings_csv

FIELDS = {"confidence": 2, "quality": 3, "findings": [], "comment": "faint"}


@pytest.mark.parametrize("character", ["\ud800", "\udfff", "\0"])
def test_invalid_characters_are_refused_and_replaced_where_they_are_stored(character: str) -> None:
    """A new comment with such a character is refused; a stored one is read with U+FFFD in its place."""
    fields = FIELDS | {"comment": f"a{character}b"}
    with pytest.raises(DataError, match="comment: contains a character that is not text"):
        parse_answer(fields, is_pair=False)
    assert answer_from_json(json.dumps(fields)).comment == "a\ufffdb"


@pytest.mark.parametrize("name", ["version", "seconds"])
def test_huge_numbers_are_refused(name: str) -> None:
    """An integer that no float can represent is out of range like any other."""
    request = {"answer": FIELDS, "version": 0, "token": "12345678", "seconds": 1.0}
    for value in (10**400, -(10**400), float("inf"), float("nan")):
        with pytest.raises(DataError, match=name):
            parse_save_request(request | {name: value}, is_pair=False)


@pytest.mark.parametrize("text", ["{", "null", "[]", "{}", '{"confidence": ' + "7" * 5000 + "}", "[" * 100_000])
def test_broken_stored_answer_is_a_one_line_error(text: str) -> None:
    """A stored answer that cannot be read is an error of ours."""
    with pytest.raises(DataError):
        answer_from_json(text)


def test_comments_are_no_formulas() -> None:
    """A spreadsheet shows every comment as text; numbers stay numbers."""
    comments = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", " =1", "faint"]
    rows = pd.DataFrame({"comment": comments, "seconds": [-1.5] * 8, "cluster": 0})
    for column in ("labels", "classifier", "marked"):
        rows[column] = [()] * 8
    lines = render_readings_csv(rows)
    assert [line for line in lines.split("\n") if line.startswith(("=", "+", "-", "@", "\t", "\r", '"\r', " ="))] == []
    for text in ("'=1+1,-1.5", "'+1,", "'-1,", "'@x,", "'\tx", "'\rx", "' =1", "\nfaint,"):
        assert text in lines
