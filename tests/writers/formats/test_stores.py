"""The image stores: PNG folder and tar shards behave the same and can be truncated and continued at any image."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.dataset_records import write_images
from support.file_digests import digest_files
from support.paths import REPOSITORY

from synthcxr.cli.generate import generate
from synthcxr.data import image_reader
from synthcxr.data.synthetic_dataset import to_metadata_row
from synthcxr.storage.digests import sha256_bytes
from synthcxr.writers.formats import image_folder, webdataset
from synthcxr.writers.formats.image_folder import PngFolder
from synthcxr.writers.formats.store import FORMATS
from synthcxr.writers.formats.webdataset import TarShards

STORES = pytest.mark.parametrize("store_class", [PngFolder, TarShards])


@pytest.fixture(autouse=True)
def small_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three images per folder or shard, so that a few images fill several."""
    monkeypatch.setattr(image_folder, "IMAGES_PER_FOLDER", 3)
    monkeypatch.setattr(webdataset, "IMAGES_PER_SHARD", 3)


@STORES
def test_written_images_are_read_back(store_class: type, tmp_path: Path) -> None:
    """Each image comes back in order, from another store and through `image_reader`."""
    store = store_class(tmp_path)
    records = write_images(store, 0, 8)
    store.close()
    expected = [record.sha256 for record in records]
    assert [sha256_bytes(data) for data in store_class(tmp_path).read(records)] == expected
    images = image_reader.read(tmp_path, [record.file_name for record in records])
    assert [sha256_bytes(data or b"") for data in images] == expected
    assert len({Path(record.file_name).parent for record in records}) == 3


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n=st.integers(0, 8), n_kept=st.integers(0, 8), closed=st.booleans())
@STORES
def test_truncated_store_can_be_continued(
    store_class: type, tmp_path_factory: pytest.TempPathFactory, n: int, n_kept: int, closed: bool
) -> None:
    """A store that stopped after n images, is truncated to fewer and continued, equals one that never stopped."""
    n_kept, n = sorted((n, n_kept))
    root, uninterrupted_root = tmp_path_factory.mktemp("truncated"), tmp_path_factory.mktemp("uninterrupted")
    store = store_class(root)
    write_images(store, 0, n)
    store.close()
    for path in () if closed else sorted(root.glob("shards/*.tar"))[-1:]:
        path.write_bytes(path.read_bytes()[:-1024])  # as a killed process leaves it
    continued = store_class(root)
    continued.truncate(n_kept)
    write_images(continued, n_kept, 8)
    continued.close()
    uninterrupted = store_class(uninterrupted_root)
    write_images(uninterrupted, 0, 8)
    uninterrupted.close()
    assert digest_files(root) == digest_files(uninterrupted_root)


@STORES
def test_damaged_image_reads_as_none(store_class: type, tmp_path: Path) -> None:
    """A changed byte, a truncated file or a missing file reads as None; the images before it are read."""
    store = store_class(tmp_path)
    records = write_images(store, 0, 8)
    store.close()
    last = tmp_path / (records[7].file_name if store_class is PngFolder else records[7].file_name.rpartition("/")[0])
    content = last.read_bytes()
    for damaged in (content[:40], content.replace(b"IDAT", b"IDOT"), b""):
        last.write_bytes(damaged)
        images = list(store_class(tmp_path).read(records))
        assert images[7] is None and all(images[:6])
    last.unlink()
    assert list(store_class(tmp_path).read(records))[7] is None


def test_shard_is_a_standard_tar(tmp_path: Path) -> None:
    """tarfile reads a shard, each key has its PNG and its record, and headers contain no time and no owner."""
    store = TarShards(tmp_path)
    records = write_images(store, 0, 2)
    store.close()
    with tarfile.open(tmp_path / "shards/00000.tar") as tar:
        assert tar.getnames() == ["00000000.png", "00000000.json", "00000001.png", "00000001.json"]
        assert json.load(tar.extractfile("00000001.json")) == to_metadata_row(records[1])
        assert {(m.mtime, m.uid, m.uname, m.mode, m.isfile()) for m in tar.getmembers()} == {(0, 0, "", 0o644, True)}
    assert (tmp_path / "shards/00000.tar").read_bytes().endswith(bytes(1024))


def test_changed_json_in_a_shard_reads_as_none(tmp_path: Path) -> None:
    """An image whose KEY.json differs from its record is damaged."""
    store = TarShards(tmp_path)
    records = write_images(store, 0, 1)
    store.close()
    path = tmp_path / "shards/00000.tar"
    path.write_bytes(path.read_bytes().replace(b'"weight": 1.0', b'"weight": 2.0'))
    assert list(TarShards(tmp_path).read(records)) == [None]


def test_the_formats_of_the_command_line_and_the_documentation_are_declared() -> None:
    """The choices of `generate --format` and the table of docs/generate.md are those of the declarations."""
    (choice,) = (option.type for option in generate.params if option.name == "image_format")
    assert choice.shipped == tuple(image_format.name for image_format in FORMATS.shipped)
    page = (REPOSITORY / "docs/generate.md").read_text(encoding="utf-8")
    for image_format in FORMATS.shipped:
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{image_format.name}`"))
        assert f"`{image_format.folder}/" in row


@STORES
def test_stores_keep_to_their_declaration(store_class: type, tmp_path: Path) -> None:
    """Files lie in the declared folder, match its pattern, and images have the declared suffix."""
    (image_format,) = (entry for entry in FORMATS.shipped if type(entry.open(tmp_path, "")) is store_class)
    store = store_class(tmp_path)
    records = write_images(store, 0, 2)
    store.close()
    assert all(record.file_name.endswith(image_format.suffix) for record in records)
    assert list((tmp_path / image_format.folder).glob(image_format.pattern))
