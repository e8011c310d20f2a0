"""Columns of CSV files: text and numbers, with few or many distinct texts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from synthcxr.storage import csv_files


def write_table(path: Path, n: int) -> Path:
    """Three columns: a text of its own in each row, a repeated one, and a number or none."""
    rows = [f"name{row},{'odd' if row % 2 else 'even'},{row / 4 if row else 'none'}\n" for row in range(n)]
    path.write_text("name,parity,value\n" + "".join(rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("n", [0, 3, 2500])
def test_columns_are_those_of_the_rows(tmp_path: Path, n: int) -> None:
    """Also beyond the number of distinct texts that are held once; a repeated text is held once."""
    path = write_table(tmp_path / "x.csv", n)
    columns = csv_files.read_columns(path, text_columns=["name", "parity"], number_columns=["value"], no_number=-1.0)
    rows = csv_files.read_rows(path, ["name"])
    assert columns["name"] == [row["name"] for row in rows]
    assert columns["parity"] == [row["parity"] for row in rows]
    assert list(columns["value"]) == [row / 4 if row else -1.0 for row in range(n)]
    assert len({id(cell) for cell in columns["parity"]}) == min(n, 2)


@pytest.mark.parametrize("cell", ["", "x", "1_0", "\u0661", "nan"])
def test_other_cells_are_no_numbers(cell: str) -> None:
    """Python would read some of them as numbers."""
    assert csv_files.to_number(cell, no_number=-1.0) == -1.0
    assert math.isinf(csv_files.to_number("inf", no_number=-1.0))
