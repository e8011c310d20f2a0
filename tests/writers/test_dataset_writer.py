"""A growing dataset: in order, behind the caller's back, resumed after what is still sound."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from synthcxr.data import image_reader
from synthcxr.data.records import Record
from synthcxr.writers.dataset_writer import Growing
from synthcxr.writers.formats.image_folder import PngFolder
from synthcxr.writers.formats.webdataset import Shards
from synthcxr.writers.journal import Journal

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 8, 8), dtype=np.uint8)


def add(growing: Growing, start: int, stop: int) -> None:
    """Hand over images start..stop-1 as one block of twice as many candidates."""
    described = [Record("", 2 * at, 1, "", ("No Finding",), (0.0,) * 14, 1.0, "") for at in range(start, stop)]
    growing.add(draws=2 * stop, pixels=PIXELS[start:stop], described=described)


@pytest.mark.parametrize("kind", [PngFolder, Shards])
def test_blocks_are_written_in_order(kind: type, tmp_path: Path) -> None:
    """More blocks than may wait are written one after the other, with a line each and the files' digests."""
    journal = Journal(tmp_path / "journal.jsonl")
    with Growing(kind(tmp_path), journal) as growing:
        for start in range(0, 40, 4):
            add(growing, start, start + 4)
        growing.flush()
        assert (growing.found, growing.draws) == (40, 80)
    held = list(journal.records())
    assert [line.draws for line in journal.lines()] == list(range(8, 88, 8))
    assert [record.index for record in held] == list(range(0, 80, 2))
    assert None not in list(image_reader.read_whole(tmp_path, held))


def test_resume_stands_after_the_last_sound_block(tmp_path: Path) -> None:
    """From the block of the first harmed image on everything is dropped, files and lines."""
    journal = Journal(tmp_path / "journal.jsonl")
    with Growing(PngFolder(tmp_path), journal) as growing:
        for start in range(0, 40, 4):
            add(growing, start, start + 4)
        growing.flush()
    (tmp_path / "images/00000/00000014.png").write_bytes(b"harm")
    with Growing(PngFolder(tmp_path), journal) as growing:
        growing.resume()
        assert (growing.found, growing.draws) == (12, 24)
    assert len(list(journal.lines())) == 3
    assert len(list((tmp_path / "images/00000").iterdir())) == 12


def test_copy_goes_on_where_an_interrupted_copy_stopped(tmp_path: Path) -> None:
    """What is there already is not copied again, and the candidates looked at in vain at the end are remembered."""
    source, journal = tmp_path / "source", Journal(tmp_path / "journal.jsonl")
    with Growing(PngFolder(source), Journal(tmp_path / "other.jsonl")) as growing:
        add(growing, 0, 40)
        growing.flush()
    held = list(Journal(tmp_path / "other.jsonl").records())
    for n, draws in ((10, 19), (40, 100)):
        with Growing(Shards(tmp_path / "out"), journal) as growing:
            growing.resume()
            growing.copy(PngFolder(source), held[:n], draws)
            assert (growing.found, growing.draws) == (n, draws)
    copied = list(journal.records())
    assert [dataclasses.replace(record, file_name="") for record in copied] == [
        dataclasses.replace(record, file_name="") for record in held
    ]
    assert copied[0].file_name == "shards/00000.tar/00000000.png"
    assert all(data is not None for data in Shards(tmp_path / "out").read(copied))


def test_nothing_is_journaled_after_a_block_that_failed(tmp_path: Path) -> None:
    """The blocks that waited behind it are dropped: the journal has no gap, and its images are the first ones."""

    class Failing(PngFolder):
        def write(self, ordinal: int, png: bytes, record: Record) -> None:
            if ordinal == 6:
                raise OSError(28, "No space left on device")
            super().write(ordinal, png, record)

    journal = Journal(tmp_path / "journal.jsonl")
    with Growing(Failing(tmp_path), journal) as growing:  # noqa: SIM117
        with pytest.raises(OSError, match="No space left"):
            for start in range(0, 40, 4):
                add(growing, start, start + 4)
    assert [line.draws for line in journal.lines()] == [8]


def test_an_error_of_the_writer_reaches_the_caller(tmp_path: Path) -> None:
    """A folder that cannot be written to stops the run at the next block, not at its end."""
    (tmp_path / "images").write_text("in the way")
    with Growing(PngFolder(tmp_path), Journal(tmp_path / "journal.jsonl")) as growing:  # noqa: SIM117
        with pytest.raises(OSError, match="images"):
            for start in range(0, 40, 4):
                add(growing, start, start + 4)
    assert list(Journal(tmp_path / "journal.jsonl").lines()) == []
