"""The dataset writer: complete or not at all, one process at a time, resumed and extended with the same bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.dataset_records import ORIGIN, REQUEST, make_record
from support.file_digests import digest_dataset

from synthcxr.data.synthetic_dataset import read_image_records
from synthcxr.errors import DataError
from synthcxr.storage import json_files
from synthcxr.storage.output_lock import LOCK_SUFFIX
from synthcxr.writers.dataset_writer import DatasetWriter, OpenPart
from synthcxr.writers.generation_request import GenerationRequest, RequestPart

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 8, 8), dtype=np.uint8)


def accept(folder: Path, run: Mapping[str, Any]) -> str:
    """A check that every dataset passes."""
    return f"{folder.name} has {run['counts']['found']} images"


def add_images(writer: DatasetWriter, stop: int) -> None:
    """Add one block with the images up to `stop`; every second candidate is accepted."""
    start = writer.n_images
    records = [make_record(2 * ordinal) for ordinal in range(start, stop)]
    writer.add(draws=2 * stop, pixels=PIXELS[start:stop], records=records)


def write_dataset(out: Path, request: GenerationRequest = REQUEST, **flags: bool) -> None:
    with DatasetWriter.open(out, request, ORIGIN, **flags) as writer:
        add_images(writer, request.n)
        writer.commit(accept)


def test_committed_dataset_is_in_place(tmp_path: Path) -> None:
    """`commit` returns run.json and the result of the check, and leaves nothing next to the dataset."""
    out = tmp_path / "x"
    with DatasetWriter.open(out, REQUEST, ORIGIN) as writer:
        assert writer.open_parts == [OpenPart(RequestPart(("Edema",), (), 9), range(20), 9)]
        add_images(writer, 4)
        add_images(writer, 9)
        assert (tmp_path / f"x{LOCK_SUFFIX}").exists() and not out.exists()
        run, outcome = writer.commit(accept)
    assert outcome == "x.partial has 9 images" and run == json_files.read_json(out / "run.json")
    assert [record.index for record in read_image_records(out)] == list(range(0, 18, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_finished_request_has_nothing_to_write(tmp_path: Path) -> None:
    """The writer of a finished dataset has its run.json and no open parts, and changes nothing."""
    write_dataset(tmp_path / "x")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with DatasetWriter.open(tmp_path / "x", REQUEST, ORIGIN) as writer:
        assert writer.finished_run is not None and writer.finished_run["counts"]["found"] == 9
        assert writer.open_parts == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_second_writer_is_refused(tmp_path: Path) -> None:
    """While one writer is open, another one for the same folder raises DataError."""
    with DatasetWriter.open(tmp_path / "x", REQUEST, ORIGIN) as writer:  # noqa: SIM117
        with pytest.raises(DataError, match="another process is writing here"):  # noqa: SIM117
            with DatasetWriter.open(tmp_path / "x", REQUEST, ORIGIN):
                pytest.fail("two writers are open")
        assert writer.n_images == 0
    assert list(tmp_path.iterdir()) == []


def test_interrupted_dataset_is_resumed(tmp_path: Path) -> None:
    """A dataset whose writer failed after some images is continued with its number of threads, to the same bytes."""
    out = tmp_path / "x"
    with pytest.raises(KeyboardInterrupt), DatasetWriter.open(out, REQUEST, ORIGIN) as writer:
        add_images(writer, 4)
        writer._images.flush()
        raise KeyboardInterrupt
    assert not out.exists() and (tmp_path / "x.partial").is_dir()
    with DatasetWriter.open(out, dataclasses.replace(REQUEST, threads=3), ORIGIN) as writer:
        assert (writer.n_images, writer.request.threads) == (4, 2)
        assert writer.open_parts == [OpenPart(RequestPart(("Edema",), (), 9), range(8, 20), 5)]
        add_images(writer, 9)
        writer.commit(accept)
    write_dataset(tmp_path / "uninterrupted")
    assert digest_dataset(out) == digest_dataset(tmp_path / "uninterrupted")


def test_failed_check_keeps_the_old_dataset(tmp_path: Path) -> None:
    """If the check raises, the old dataset stays in place and the new images can be used again."""
    out = tmp_path / "x"
    write_dataset(out)
    before = digest_dataset(out)

    def reject(folder: Path, run: Mapping[str, Any]) -> None:
        raise DataError("no")

    request = dataclasses.replace(REQUEST, n=12, max_draws=40)
    with pytest.raises(DataError, match="no"), DatasetWriter.open(out, request, ORIGIN, append=True) as writer:
        add_images(writer, 12)
        writer.commit(reject)
    assert digest_dataset(out) == before
    with DatasetWriter.open(out, request, ORIGIN, append=True) as writer:
        assert writer.n_images == 12 and writer.open_parts == []


def test_dataset_is_extended_in_another_format(tmp_path: Path) -> None:
    """`append` copies the existing images, and another format may be chosen."""
    longer = dataclasses.replace(REQUEST, n=12, max_draws=40, format="webdataset")
    write_dataset(tmp_path / "x")
    write_dataset(tmp_path / "x", longer, append=True)
    write_dataset(tmp_path / "direct", longer)
    assert digest_dataset(tmp_path / "x") == digest_dataset(tmp_path / "direct")


def test_other_request_needs_force(tmp_path: Path) -> None:
    """A dataset of another request is refused, and replaced with `force`."""
    write_dataset(tmp_path / "x")
    other = dataclasses.replace(REQUEST, n=5)
    with pytest.raises(DataError, match="n 9, not 5"), DatasetWriter.open(tmp_path / "x", other, ORIGIN):
        pytest.fail("the writer is open")
    write_dataset(tmp_path / "x", other, force=True)
    assert len(read_image_records(tmp_path / "x")) == 5


def test_each_part_has_its_own_candidates(tmp_path: Path) -> None:
    """A request for several sets of findings resumes each set in its range of candidates; full sets are not open."""
    parts = (RequestPart(("Edema",), (), 2), RequestPart(("Mass",), (), 3), RequestPart(("Hernia",), (), 4))
    request = dataclasses.replace(REQUEST, labels=(), parts=parts)
    with pytest.raises(KeyboardInterrupt), DatasetWriter.open(tmp_path / "x", request, ORIGIN) as writer:
        add_images(writer, 2)
        writer.add(draws=2**32 + 3, pixels=PIXELS[2:3], records=[make_record(2**32 + 1)])
        writer._images.flush()
        raise KeyboardInterrupt
    with DatasetWriter.open(tmp_path / "x", request, ORIGIN) as writer:
        assert writer.open_parts == [
            OpenPart(parts[1], range(2**32 + 3, 2**32 + 7), 2),
            OpenPart(parts[2], range(2 * 2**32, 2 * 2**32 + 9), 4),
        ]


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    """A dry run estimates the size, finds a finished dataset, and raises the errors of `open`."""
    estimate = DatasetWriter.dry_run(tmp_path / "a/x", REQUEST, ORIGIN)
    assert (estimate.finished_run, estimate.n_present) == (None, 0) and estimate.n_bytes > 9 * 1500
    with pytest.raises(DataError, match=r"needs about .* TB"):
        DatasetWriter.dry_run(tmp_path / "a/x", dataclasses.replace(REQUEST, n=10**13), ORIGIN)
    assert list(tmp_path.iterdir()) == []
    write_dataset(tmp_path / "x")
    assert DatasetWriter.dry_run(tmp_path / "x", REQUEST, ORIGIN).finished_run is not None
