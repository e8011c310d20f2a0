"""The background writer: images are written in order while the caller continues, and resumed after the last intact."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from synthcxr.data import image_reader
from synthcxr.data.synthetic_dataset import ImageRecord
from synthcxr.writers.background_writer import BackgroundWriter
from synthcxr.writers.formats.image_folder import PngFolder
from synthcxr.writers.formats.webdataset import TarShards
from synthcxr.writers.journal import Journal

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 8, 8), dtype=np.uint8)


def add_block(writer: BackgroundWriter, start: int, stop: int) -> None:
    """Add images start .. stop - 1 as one block of twice as many candidates."""
    records = [
        ImageRecord("", 2 * ordinal, 1, "", ("No Finding",), (0.0,) * 14, 1.0, "") for ordinal in range(start, stop)
    ]
    writer.add(draws=2 * stop, pixels=PIXELS[start:stop], records=records)


def add_blocks_of_four(writer: BackgroundWriter) -> None:
    for start in range(0, 40, 4):
        add_block(writer, start, start + 4)
    writer.flush()


@pytest.mark.parametrize("store_class", [PngFolder, TarShards])
def test_blocks_are_written_in_order(store_class: type, tmp_path: Path) -> None:
    """More blocks than may wait are written in order, with a journal line each and the digests of the files."""
    journal = Journal(tmp_path / "journal.jsonl")
    with BackgroundWriter(store_class(tmp_path), journal) as writer:
        add_blocks_of_four(writer)
        assert (writer.n_images, writer.draws) == (40, 80)
    records = list(journal.records())
    assert [line.draws for line in journal.lines()] == list(range(8, 88, 8))
    assert [record.index for record in records] == list(range(0, 80, 2))
    assert None not in list(image_reader.read_verified(tmp_path, records))


def test_resume_continues_after_the_last_intact_block(tmp_path: Path) -> None:
    """Files and journal lines are deleted from the block of the first damaged image on."""
    journal = Journal(tmp_path / "journal.jsonl")
    with BackgroundWriter(PngFolder(tmp_path), journal) as writer:
        add_blocks_of_four(writer)
    (tmp_path / "images/00000/00000014.png").write_bytes(b"damaged")
    with BackgroundWriter(PngFolder(tmp_path), journal) as writer:
        writer.resume()
        assert (writer.n_images, writer.draws) == (12, 24)
    assert len(list(journal.lines())) == 3
    assert len(list((tmp_path / "images/00000").iterdir())) == 12


def test_copy_continues_an_interrupted_copy(tmp_path: Path) -> None:
    """Existing images are not copied again, and the rejected candidates at the end of the source are counted."""
    source_folder, journal = tmp_path / "source", Journal(tmp_path / "journal.jsonl")
    source_journal = Journal(tmp_path / "source.jsonl")
    with BackgroundWriter(PngFolder(source_folder), source_journal) as writer:
        add_block(writer, 0, 40)
        writer.flush()
    records = list(source_journal.records())
    for n, draws in ((10, 19), (40, 100)):
        with BackgroundWriter(TarShards(tmp_path / "out"), journal) as writer:
            writer.resume()
            writer.copy(PngFolder(source_folder), records[:n], draws=draws)
            assert (writer.n_images, writer.draws) == (n, draws)
    copies = list(journal.records())
    assert [dataclasses.replace(record, file_name="") for record in copies] == [
        dataclasses.replace(record, file_name="") for record in records
    ]
    assert copies[0].file_name == "shards/00000.tar/00000000.png"
    assert all(data is not None for data in TarShards(tmp_path / "out").read(copies))


def test_blocks_after_a_failed_block_are_dropped(tmp_path: Path) -> None:
    """The journal has no gap: it lists only the images before the block that failed."""

    class FailingFolder(PngFolder):
        def write(self, ordinal: int, data: bytes, record: ImageRecord) -> None:
            if ordinal == 6:
                raise OSError(28, "No space left on device")
            super().write(ordinal, data, record)

    journal = Journal(tmp_path / "journal.jsonl")
    with BackgroundWriter(FailingFolder(tmp_path), journal) as writer:  # noqa: SIM117
        with pytest.raises(OSError, match="No space left"):
            add_blocks_of_four(writer)
    assert [line.draws for line in journal.lines()] == [8]


def test_error_in_the_background_reaches_the_caller(tmp_path: Path) -> None:
    """If the images cannot be written, a later `add` raises the error; it does not wait for the end."""
    (tmp_path / "images").write_text("a file where the folder should be")
    with BackgroundWriter(PngFolder(tmp_path), Journal(tmp_path / "journal.jsonl")) as writer:  # noqa: SIM117
        with pytest.raises(OSError, match="images"):
            for start in range(0, 40, 4):
                add_block(writer, start, start + 4)
    assert list(Journal(tmp_path / "journal.jsonl").lines()) == []
