"""JSON files and digests."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthcxr.errors import DataError
from synthcxr.storage import digests, json_files


def test_a_value_is_written_and_read(tmp_path: Path) -> None:
    """Keys are sorted, the file ends with a newline, and the value is read back as it was."""
    path = tmp_path / "folder" / "x.json"
    json_files.write_json(path, {"b": [1, 2.5], "a": None})
    assert path.read_text() == '{\n  "a": null,\n  "b": [\n    1,\n    2.5\n  ]\n}\n'
    assert json_files.read_json(path) == {"a": None, "b": [1, 2.5]}


def test_nan_is_not_written(tmp_path: Path) -> None:
    """NaN is not JSON: nothing is written."""
    with pytest.raises(ValueError, match="Out of range"):
        json_files.write_json(tmp_path / "x.json", float("nan"))
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    """An absent file and one that is not JSON are each one line with the path."""
    path = tmp_path / "x.json"
    with pytest.raises(DataError, match=r"x\.json: no such file"):
        json_files.read_json(path)
    path.write_bytes(b"{\xff")
    with pytest.raises(DataError, match=r"x\.json: not readable as JSON"):
        json_files.read_json(path)


def test_digests_have_known_values(tmp_path: Path) -> None:
    """The sha256 of "abc" by FIPS 180-2, of bytes and of a file."""
    (tmp_path / "x").write_bytes(b"abc")
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digests.sha256_bytes(b"abc") == digests.sha256_file(tmp_path / "x") == sha256


def test_a_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    """Equal values have equal fingerprints of sixteen hex digits; other values have others."""
    assert digests.fingerprint({"a": 1, "b": 2}) == digests.fingerprint({"b": 2, "a": 1})
    assert digests.fingerprint({"a": 1}) != digests.fingerprint({"a": 2})
    assert len(digests.fingerprint([])) == 16
