"""Reading the images of a synthetic dataset from files and shards."""

from __future__ import annotations

import dataclasses
import io
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from synthcxr.data import image_reader, synthetic_dataset
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


def test_names_that_are_too_long_for_a_file_are_absent(tmp_path: Path) -> None:
    """A file, a shard and a member of a shard, read one by one or in order."""
    write(tmp_path)
    long = "1" * 5000
    names = [f"images/{long}.png", f"shards/{long}.tar/x.png", f"shards/00000.tar/{long}"]
    assert list(image_reader.read(tmp_path, names)) == [None] * 3
    for name in names:
        with pytest.raises(DataError, match="cannot be read"):
            image_reader.ImageReader(tmp_path).read(name)


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


NAMES_OUTSIDE = (
    *("../film.png", "images/../../film.png", "images/..", "..", "/etc/film.png", "//host/film.png", "C:/film.png"),
    *("C:film.png", "..\\film.png", "images\\film.png", "images/../file.png", "shards/../../x.tar/film.png"),
    *("../x.tar/film.png", "/x.tar/film.png", "./images/file.png", "images//file.png", "images/file.png\0", ""),
)


@pytest.mark.parametrize("name", NAMES_OUTSIDE)
def test_a_name_that_leads_out_of_the_dataset_is_refused(tmp_path: Path, name: str) -> None:
    """Every way to read an image, and reading metadata.csv, refuses the name with one line before a file is read."""
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    names = [write(dataset)[-1], name]
    (tmp_path / "film.png").write_bytes(b"a real film")
    record = ImageRecord(name, 0, 1, "", (NO_FINDING,), (0.1,) * 14, 1.0, digests.sha256_bytes(b"a real film"))
    with pytest.raises(DataError, match="not a path inside the dataset") as error_info:
        list(image_reader.read(dataset, [name]))
    assert "\n" not in str(error_info.value)
    with pytest.raises(DataError, match="not a path inside the dataset"):
        list(image_reader.read_verified(dataset, [record]))
    with pytest.raises(DataError, match="not a path inside the dataset"):
        image_reader.ImageReader(dataset).read(name)
    with pytest.raises(DataError, match="not a path inside the dataset"):
        synthetic_dataset.refuse_names_outside(dataset, names)
    if "\0" not in name:
        rows = [synthetic_dataset.to_metadata_row(record)]
        synthetic_dataset.write_metadata(dataset / "metadata.csv", rows)
        with pytest.raises(DataError, match="not a path inside the dataset"):
            synthetic_dataset.read_metadata(dataset)


@pytest.mark.parametrize("kind", ["file", "folder", "shard"])
def test_links_to_a_cache_are_read(tmp_path: Path, kind: str) -> None:
    """Files that DVC or Hugging Face put into place as links to a cache outside the dataset are read."""
    dataset, cache = tmp_path / "dataset", tmp_path / "cache"
    for folder in (dataset, cache):
        folder.mkdir()
        write(folder)
    link, target, name = {
        "file": ("images/link.png", "images/file.png", "images/link.png"),
        "folder": ("linked", "images", "linked/file.png"),
        "shard": ("shards/00005.tar", "shards/00000.tar", "shards/00005.tar/00000000.png"),
    }[kind]
    (dataset / link).symlink_to(cache / target)
    assert None not in list(image_reader.read(dataset, ["images/file.png", name]))


def test_a_link_in_a_shard_is_no_image(tmp_path: Path) -> None:
    """Members of a tar file that are links or folders are not read as images."""
    (tmp_path / "shards").mkdir()
    with tarfile.open(tmp_path / "shards/00000.tar", "w") as tar:
        for name, kind in (("a.png", tarfile.SYMTYPE), ("b.png", tarfile.LNKTYPE), ("c.png", tarfile.DIRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/hostname"
            tar.addfile(info)
    names = [f"shards/00000.tar/{name}.png" for name in "abc"]
    assert list(image_reader.read(tmp_path, names)) == [None, None, None]


def test_read_all_verified_raises_for_a_changed_image(tmp_path: Path) -> None:
    """The error names the first image whose bytes differ from its sha256."""
    name = write(tmp_path)[-1]
    sha256 = digests.sha256_bytes(b"file.png")
    assert list(image_reader.read_all_verified(tmp_path, [name], [sha256])) == [b"file.png"]
    with pytest.raises(DataError, match=r"images/file\.png is missing or differs from its sha256"):
        list(image_reader.read_all_verified(tmp_path, [name, name], [sha256, "0" * 64]))
