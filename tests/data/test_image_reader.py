"""The bytes of a dataset's images, from files and from shards."""

from __future__ import annotations

import dataclasses
import io
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from synthcxr.data import findings, image_reader
from synthcxr.data.records import Record
from synthcxr.errors import DataError
from synthcxr.storage import digests

NAMES = tuple(f"{shard:05d}.tar/{at:08d}.png" for shard in range(2) for at in range(3 * shard, 3 * shard + 3))


def write(dataset: Path) -> list[str]:
    """Two shards of three images each, and one file; their names in the dataset."""
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


def test_images_come_in_the_order_asked_for(tmp_path: Path) -> None:
    """Any order, files and shards mixed; what is absent is None, and everything else still comes."""
    names = write(tmp_path)[::-1]
    asked = [*names, "shards/00009.tar/x.png", "shards/00000.tar/absent.png", "images/absent.png", names[0]]
    held = [name.rpartition("/")[2].encode() for name in names]
    assert list(image_reader.read(tmp_path, iter(asked))) == [*held, None, None, None, held[0]]


def test_a_shard_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All images of a shard are read through one opening, so that a large one is not scanned for each of them."""
    names, opened = write(tmp_path), Counter[str]()
    plain = Path.open

    def counting(path: Path, *arguments: Any, **named: Any) -> Any:
        opened[path.name] += 1
        return plain(path, *arguments, **named)

    monkeypatch.setattr(Path, "open", counting)
    assert None not in list(image_reader.read(tmp_path, names[:-1]))
    assert opened == {"00000.tar": 1, "00001.tar": 1}


def test_a_shard_cut_short_gives_its_whole_images(tmp_path: Path) -> None:
    """Of a shard that ends in the middle, the images before that are read and the rest are None."""
    names = write(tmp_path)
    path = tmp_path / "shards" / "00000.tar"
    path.write_bytes(path.read_bytes()[: 2 * 1024 + 517])
    assert [data is not None for data in image_reader.read(tmp_path, names[:3])] == [True, True, False]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Where every image is needed, the first that is absent is an error with its name."""
    names = write(tmp_path)
    assert len(list(image_reader.read_all(tmp_path, names))) == 7
    with pytest.raises(DataError, match=r"00001.tar/absent.png is listed but cannot be read"):
        list(image_reader.read_all(tmp_path, [*names, "shards/00001.tar/absent.png"]))


def test_other_bytes_than_those_of_the_digest_are_none(tmp_path: Path) -> None:
    """An image whose bytes changed is as good as absent."""
    name = write(tmp_path)[-1]
    record = Record(name, 0, 1, "", (findings.NO_FINDING,), (0.1,) * 14, 1.0, digests.sha256_bytes(b"file.png"))
    other = dataclasses.replace(record, sha256="0" * 64)
    assert list(image_reader.read_whole(tmp_path, [record, other, record])) == [b"file.png", None, b"file.png"]
