"""Reading the images of a synthetic dataset from files and shards."""

from __future__ import annotations

import dataclasses
import io
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from synthcxr.data import image_reader
from synthcxr.data.findings import NO_FINDING
from synthcxr.data.synthetic_dataset import ImageRecord
from synthcxr.errors import DataError
from synthcxr.storage import digests

NAMES = tuple(f"{shard:05d}.tar/{index:08d}.png" for shard in range(2) for index in range(3 * shard, 3 * shard + 3))


def write(dataset: Path) -> list[str]:
    """Write two shards of three images each, and one file; return their names."""
    for name in NAMES:
        shard, _, member = name.partition("/")
        (dataset / "shards").mkdir(exist_ok=True)
        with tarfile.open(dataset / "shards" / shard, "a") as tar:
            info = tarfile.TarInfo(member)
            info.size = len(member)
            tar.addfile(info, io.BytesIO(member.encode()))
    (dataset / "images").mkdir()
    (dataset / "images" / "file.png").write_bytes(b"file.png")
    return [*(f"shards/{name}" for name in NAMES), "images/file.png"]


def test_images_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Files and shards can be mixed in any order; an absent image is None and the others are still read."""
    names = write(tmp_path)[::-1]
    requested = [*names, "shards/00009.tar/x.png", "shards/00000.tar/absent.png", "images/absent.png", names[0]]
    contents = [name.rpartition("/")[2].encode() for name in names]
    assert list(image_reader.read(tmp_path, iter(requested))) == [*contents, None, None, None, contents[0]]


def test_a_shard_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All consecutive images of a shard are read from one open file, so that a large shard is scanned once."""
    names, n_opened = write(tmp_path), Counter[str]()
    path_open = Path.open

    def count_and_open(path: Path, *arguments: Any, **options: Any) -> Any:
        n_opened[path.name] += 1
        return path_open(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", count_and_open)
    assert None not in list(image_reader.read(tmp_path, names[:-1]))
    assert n_opened == {"00000.tar": 1, "00001.tar": 1}


def test_the_complete_images_of_a_truncated_shard_are_read(tmp_path: Path) -> None:
    """Images before the end of the file are read; the others are None."""
    names = write(tmp_path)
    path = tmp_path / "shards" / "00000.tar"
    path.write_bytes(path.read_bytes()[: 2 * 1024 + 517])
    assert [data is not None for data in image_reader.read(tmp_path, names[:3])] == [True, True, False]


def test_read_all_raises_for_an_absent_image(tmp_path: Path) -> None:
    """The error names the first image that cannot be read."""
    names = write(tmp_path)
    assert len(list(image_reader.read_all(tmp_path, names))) == 7
    with pytest.raises(DataError, match=r"00001.tar/absent.png is listed in metadata.csv but cannot be read"):
        list(image_reader.read_all(tmp_path, [*names, "shards/00001.tar/absent.png"]))


def test_read_verified_rejects_changed_bytes(tmp_path: Path) -> None:
    """An image whose sha256 differs from its record is None, like an absent one."""
    name = write(tmp_path)[-1]
    record = ImageRecord(name, 0, 1, "", (NO_FINDING,), (0.1,) * 14, 1.0, digests.sha256_bytes(b"file.png"))
    other = dataclasses.replace(record, sha256="0" * 64)
    assert list(image_reader.read_verified(tmp_path, [record, other, record])) == [b"file.png", None, b"file.png"]
