"""Building typed values from parsed JSON: errors name the path of a value that does not fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest

from synthcxr.config import parsing
from synthcxr.config.bounds import Bounds, Length
from synthcxr.errors import ArtifactError, ConfigError, DataError


class Row(TypedDict):
    """A row with an optional key."""

    share: Annotated[float, Bounds(min=0, max=1)]
    interval: NotRequired[Annotated[Sequence[float], Length(2)] | None]


@dataclasses.dataclass(frozen=True)
class Part:
    """A part with a default."""

    name: str
    n: int = 1


class File(TypedDict):
    """A file of every kind of value."""

    status: Literal["passed", "failed"]
    rows: Mapping[str, Row | str]
    parts: tuple[Part, ...]
    more: NotRequired[Any]


VALID: dict[str, Any] = {
    "status": "passed",
    "rows": {"a": {"share": 1, "interval": [0, 1]}, "b": "text", "c": {"share": 0.5, "interval": None}},
    "parts": [{"name": "x"}, {"name": "y", "n": 2}],
    "unknown": [1],
}


def test_a_valid_tree_is_built() -> None:
    """Whole numbers become floats, lists of dataclasses tuples; unknown keys of a TypedDict are kept."""
    built = parsing.build_as(File, VALID, "x.json")
    assert built["parts"] == (Part("x"), Part("y", 2))
    assert built["rows"]["a"] == {"share": 1.0, "interval": [0.0, 1.0]}
    assert built["unknown"] == [1]  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "other"}, "status: 'other' is not one of passed, failed"),
        ({"status": True}, "status: True is not one of"),
        ({"rows": []}, "rows: expected a mapping, got list"),
        ({"rows": {"a": {"share": "0.5"}}}, r"rows\.a\.share: expected float, got str '0.5'"),
        ({"rows": {"a": {"share": True}}}, r"rows\.a\.share: expected float, got bool"),
        ({"rows": {"a": {"share": 2}}}, r"rows\.a\.share: must be at most 1, is 2"),
        ({"rows": {"a": {"share": 10**400}}}, r"rows\.a\.share: expected float, got int of 1329 bits"),
        ({"rows": {"a": {"share": float("nan")}}}, r"rows\.a\.share: must be a finite number"),
        ({"rows": {"a": {"share": 1, "interval": [1]}}}, r"rows\.a\.interval: expected 2 values, got 1"),
        ({"rows": {"a": {}}}, r"rows\.a\.share: missing"),
        ({"parts": [{"name": "x", "m": 1}]}, r"parts\[0\]\.m: unknown key; known: name, n"),
        ({"parts": [{"n": 1}]}, r"parts\[0\]\.name: missing"),
        ({"parts": [{"name": "\ud800"}]}, r"parts\[0\]\.name: contains characters that are not text"),
        ({"more": {"a": [float("inf")]}}, r"more\.a\[0\]: must be a finite number, is inf"),
    ],
)
def test_an_error_names_the_file_and_the_path(change: dict[str, Any], message: str) -> None:
    """The message begins with the file and the path of the value, and ends with what to do."""
    with pytest.raises(ArtifactError, match=rf"^x\.json: {message}.*; do it again$"):
        parsing.build_as(File, VALID | change, "x.json", error=ArtifactError, advice="do it again")


def test_keys_may_be_missing_if_the_caller_says_so(tmp_path: Path) -> None:
    """A file of an older version may lack keys, but not have other types."""
    (tmp_path / "x.json").write_text('{"rows": {"a": {}}}')
    assert parsing.read_json(File, tmp_path / "x.json", missing_ok=True)["rows"]["a"] == {}
    (tmp_path / "x.json").write_text('{"rows": {"a": {"share": []}}}')
    with pytest.raises(DataError, match=r"x\.json: rows\.a\.share: expected float"):
        parsing.read_json(File, tmp_path / "x.json", missing_ok=True)


def test_a_key_that_is_a_huge_number_is_an_error() -> None:
    """Python refuses to print such a number in decimal; YAML can have it as a hexadecimal key."""
    with pytest.raises(ConfigError, match=r"^p\.of 24000 bits: expected an integer of at most 64 bits"):
        parsing.build(dict[int, int], {16**6000 - 1: 4}, "p")
