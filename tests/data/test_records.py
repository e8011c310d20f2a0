"""metadata.csv: what is written is read, a row in memory at a time."""

from __future__ import annotations

import dataclasses
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthcxr.data import findings, records
from synthcxr.data.records import Record


def record(index: int) -> Record:
    probabilities = tuple((index * 7 + at) % 1000 / 1000 for at in range(14))
    return Record(f"images/{index}.png", index, 2**40, "", (findings.NO_FINDING,), probabilities, 1.0, f"{index:064x}")


def test_metadata_round_trip(tmp_path: Path) -> None:
    """Records come back as they were, six decimals to a probability, a comma in a name notwithstanding."""
    made = [record(0), Record('a,"b".png', 7, 1, "Edema|Mass", ("Mass", "Edema"), (1 / 3,) * 14, 0.125, "f" * 64)]
    records.write_metadata(tmp_path / records.METADATA, map(records.to_row, made))
    first, second = records.read_records(tmp_path)
    assert first == made[0]
    assert second.probabilities == (0.333333,) * 14
    assert (second.file_name, second.findings, second.weight) == ('a,"b".png', ("Mass", "Edema"), 0.125)
    assert b"\r" not in (tmp_path / records.METADATA).read_bytes()


def test_a_very_small_weight_stays(tmp_path: Path) -> None:
    """Weights of a set that was led far are millionths of others', and none of them is 0."""
    weights = (2.48899e-08, 0.000148257, 1.0, 20.0)
    made = [dataclasses.replace(record(at), weight=weight) for at, weight in enumerate(weights)]
    records.write_metadata(tmp_path / records.METADATA, map(records.to_row, made))
    assert tuple(held.weight for held in records.read_records(tmp_path)) == weights


def test_rows_are_not_gathered(tmp_path: Path) -> None:
    """Twenty thousand rows, 5 MB of text, take a fraction of that in memory while they are written."""

    def rows() -> Iterator[dict[str, Any]]:
        yield from (records.to_row(record(index)) for index in range(20_000))

    tracemalloc.start()
    try:
        records.write_metadata(tmp_path / records.METADATA, rows())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / records.METADATA).stat().st_size > 3e6
    assert peak < 5e5
