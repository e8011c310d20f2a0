"""A few invalid inputs for every parser, and those that broke one before; `make fuzz` tries 100,000."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz import execution
from fuzz.known_inputs import KNOWN_INPUTS
from fuzz.parser import load_parsers

PARSERS = load_parsers()
MIN_SHARE = 0.6
"""Parsers with a smaller share of the inputs take long, and are left to `make fuzz` and `make test-all`."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if parser.share >= MIN_SHARE else pytest.mark.slow)
        for name, parser in PARSERS.items()
    ],
)
def test_a_parser_accepts_valid_inputs_and_refuses_others(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every valid example is accepted, and an invalid input ends in an error of ours."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parser").mkdir()
    parser = PARSERS[name]
    opened = parser.open(tmp_path / "parser")
    n_examples = len(opened.examples)
    known_inputs = KNOWN_INPUTS if parser.share >= MIN_SHARE else KNOWN_INPUTS[:3]
    n_fixed = len(execution.list_inputs(opened, known_inputs))
    for index in range(n_fixed + (8 if parser.share >= MIN_SHARE else 3)):
        data = execution.make_input(parser, opened, known_inputs, seed=2, index=index)
        outcome = execution.run_input(opened, data, is_example=index < n_examples)
        assert outcome.failure is None, f"{outcome.failure.kind}\n{outcome.failure.detail}\n{data[:300]!r}"
