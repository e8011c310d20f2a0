"""Writing and reading metadata.csv and run.json."""

from __future__ import annotations

import dataclasses
import functools
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synthcxr.data.findings import NO_FINDING
from synthcxr.data.synthetic_dataset import (
    METADATA_COLUMNS,
    METADATA_FILE,
    OPTIONAL_COLUMNS,
    ImageRecord,
    read_image_records,
    read_metadata,
    read_run,
    read_unchecked_columns,
    read_unchecked_metadata,
    to_metadata_row,
    write_metadata,
)
from synthcxr.errors import DataError


def make_record(index: int) -> ImageRecord:
    probabilities = tuple((index * 7 + column) % 1000 / 1000 for column in range(14))
    return ImageRecord(f"images/{index}.png", index, 2**40, "", (NO_FINDING,), probabilities, 1.0, f"{index:064x}")


def test_metadata_round_trip(tmp_path: Path) -> None:
    """Records are read as they were written, with six decimals for a probability and any characters in a name."""
    other = ImageRecord('a,"b".png', 7, 1, "Edema|Mass", ("Mass", "Edema"), (1 / 3,) * 14, 0.125, "f" * 64)
    write_metadata(tmp_path / METADATA_FILE, map(to_metadata_row, [make_record(0), other]))
    first, second = read_image_records(tmp_path)
    assert first == make_record(0)
    assert second.probabilities == (0.333333,) * 14
    assert (second.file_name, second.findings, second.weight) == ('a,"b".png', ("Mass", "Edema"), 0.125)
    assert b"\r" not in (tmp_path / METADATA_FILE).read_bytes()


def test_very_small_weights_keep_their_digits(tmp_path: Path) -> None:
    """Importance weights can differ by factors of a billion; none is rounded to 0."""
    weights = (2.48899e-08, 0.000148257, 1.0, 20.0)
    records = [dataclasses.replace(make_record(index), weight=weight) for index, weight in enumerate(weights)]
    write_metadata(tmp_path / METADATA_FILE, map(to_metadata_row, records))
    assert tuple(record.weight for record in read_image_records(tmp_path)) == weights


def test_optional_columns_are_written_and_read(tmp_path: Path) -> None:
    """The condition, training distance, optimisation steps and judge's probabilities are read as they were written."""
    record = dataclasses.replace(
        make_record(3),
        train_distance=1.5,
        steps=7,
        judge_probabilities=(0.25,) * 14,
        judge_findings=("Edema", "Mass"),
        condition={"Condition Findings": "Mass", "view": "PA", "sex": "", "age": "65"},
    )
    write_metadata(tmp_path / METADATA_FILE, [to_metadata_row(record)])
    assert read_image_records(tmp_path) == [record]
    assert list(read_metadata(tmp_path).columns) == [*METADATA_COLUMNS, *OPTIONAL_COLUMNS]


def test_an_unfinished_dataset_is_an_error(tmp_path: Path) -> None:
    """Without metadata.csv or run.json, and with a column missing, there is a line that says so."""
    with pytest.raises(DataError, match=r"no metadata\.csv; give the folder of a finished synthetic dataset"):
        read_metadata(tmp_path)
    with pytest.raises(DataError, match=r"no run\.json; give the folder of a finished synthetic dataset"):
        read_run(tmp_path)
    (tmp_path / METADATA_FILE).write_text("file_name,index\n")
    with pytest.raises(DataError, match="columns missing: seed, requested"):
        read_metadata(tmp_path)


@pytest.mark.slow
def test_rows_are_written_one_at_a_time(tmp_path: Path) -> None:
    """Writing 20,000 rows, 5 MB of text, takes a fraction of that in memory."""

    def rows() -> Iterator[dict[str, Any]]:
        yield from (to_metadata_row(make_record(index)) for index in range(20_000))

    tracemalloc.start()
    try:
        write_metadata(tmp_path / METADATA_FILE, rows())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / METADATA_FILE).stat().st_size > 3e6
    assert peak < 5e5


@pytest.mark.parametrize(
    ("column", "value"),
    [("weight", "heavy"), ("p_Mass", ""), ("p_Mass", "inf"), ("index", "1.5"), ("index", "-3"), ("seed", "9" * 400)],
)
def test_a_number_that_is_none_is_an_error(tmp_path: Path, column: str, value: str) -> None:
    """A cell that is not a number of its column is one line with the column; the checks still read the table."""
    write_metadata(tmp_path / "metadata.csv", [to_metadata_row(make_record(0))])
    header, row = (tmp_path / "metadata.csv").read_text().splitlines()
    cells = dict(zip(header.split(","), row.split(","), strict=True)) | {column: value}
    (tmp_path / "metadata.csv").write_text(f"{header}\n{','.join(cells.values())}\n")
    for read in (read_image_records, read_metadata):
        with pytest.raises(DataError, match=rf"metadata\.csv: column {column} has"):
            read(tmp_path)
    expected = {"inf": float("inf"), "-3": -3, "1.5": 1.5}.get(value, -1.0)
    assert read_unchecked_metadata(tmp_path, no_number=-1.0)[column].tolist() == [expected]


@pytest.mark.parametrize(
    "lines", [("{header},extra", "{row},a,b"), ("{header},weight", "{row},1"), ("{header}", "{row},1")]
)
def test_a_damaged_table_is_the_same_error_for_every_reader(tmp_path: Path, lines: tuple[str, str]) -> None:
    """Rows with other numbers of fields and doubled columns are an error of records, tables and checks alike."""
    write_metadata(tmp_path / "metadata.csv", [to_metadata_row(make_record(0))])
    header, row = (tmp_path / "metadata.csv").read_text().splitlines()
    (tmp_path / "metadata.csv").write_text("".join(f"{line.format(header=header, row=row)}\n" for line in lines))
    messages = set()
    for read in (
        read_image_records,
        read_metadata,
        functools.partial(read_unchecked_metadata, no_number=-1.0),
        functools.partial(read_unchecked_columns, no_number=-1.0),
    ):
        with pytest.raises(DataError) as caught:
            read(tmp_path)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_columns_that_were_added_are_in_the_table(tmp_path: Path) -> None:
    """A column of numbers has numbers, any other has text; large seeds keep every digit."""
    records = [dataclasses.replace(make_record(index), seed=2**53 + 1) for index in range(2)]
    write_metadata(tmp_path / "metadata.csv", map(to_metadata_row, records))
    header, *rows = (tmp_path / "metadata.csv").read_text().splitlines()
    added = [f"{header},score,note", f"{rows[0]},1.5,a", f"{rows[1]},2,b"]
    (tmp_path / "metadata.csv").write_text("\n".join(added))
    table = read_metadata(tmp_path)
    assert table["score"].tolist() == [1.5, 2.0]
    assert table["note"].tolist() == ["a", "b"]
    assert table["seed"].tolist() == [2**53 + 1] * 2
