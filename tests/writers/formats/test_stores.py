"""The two stores: a folder of PNGs and tar shards answer alike, and can be cut and continued at any image."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthcxr.data import image_reader, records
from synthcxr.data.records import Record
from synthcxr.storage import digests
from synthcxr.writers.formats import files as single_files
from synthcxr.writers.formats import webdataset
from synthcxr.writers.formats.image_folder import PngFolder
from synthcxr.writers.formats.webdataset import Shards

Fill = Callable[..., list[Record]]
STORES = pytest.mark.parametrize("kind", [PngFolder, Shards])


def files(root: Path) -> dict[str, bytes]:
    """Every file with its bytes."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def small_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three images a folder or shard, so that a few images cross several."""
    monkeypatch.setattr(single_files, "PER_FOLDER", 3)
    monkeypatch.setattr(webdataset, "PER_FOLDER", 3)


@STORES
def test_what_is_written_is_read(kind: type, tmp_path: Path, fill: Fill) -> None:
    """Each image comes back in order, from other stores and through `image_bytes` too."""
    store = kind(tmp_path)
    made = fill(store, 0, 8)
    store.close()
    assert [digests.sha256_bytes(data) for data in kind(tmp_path).read(made)] == [record.sha256 for record in made]
    read = image_reader.read(tmp_path, [record.file_name for record in made])
    assert [digests.sha256_bytes(data or b"") for data in read] == [record.sha256 for record in made]
    assert len({Path(record.file_name).parent for record in made}) == 3


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n=st.integers(0, 8), n_cut=st.integers(0, 8), ended=st.booleans())
@STORES
def test_cut_and_continued(
    kind: type, tmp_path_factory: pytest.TempPathFactory, fill: Fill, n: int, n_cut: int, ended: bool
) -> None:
    """A store that stopped after n images, is cut to fewer and continued has the bytes of one never stopped."""
    n_cut, n = sorted((n, n_cut))
    root, direct = tmp_path_factory.mktemp("cut"), tmp_path_factory.mktemp("direct")
    store = kind(root)
    fill(store, 0, n)
    store.close()
    for path in () if ended else sorted(root.glob("shards/*.tar"))[-1:]:
        path.write_bytes(path.read_bytes()[:-1024])  # as a killed process leaves it
    going_on = kind(root)
    going_on.cut(n_cut)
    fill(going_on, n_cut, 8)
    going_on.close()
    whole = kind(direct)
    fill(whole, 0, 8)
    whole.close()
    assert files(root) == files(direct)


@STORES
def test_harm_is_noticed(kind: type, tmp_path: Path, fill: Fill) -> None:
    """A changed byte, a cut end or a missing file reads as None, and what comes before is still given."""
    store = kind(tmp_path)
    made = fill(store, 0, 8)
    store.close()
    last = tmp_path / (made[7].file_name if kind is PngFolder else made[7].file_name.rpartition("/")[0])
    whole = last.read_bytes()
    for harmed in (whole[:40], whole.replace(b"IDAT", b"IDOT"), b""):
        last.write_bytes(harmed)
        read = list(kind(tmp_path).read(made))
        assert read[7] is None and all(read[:6])
    last.unlink()
    assert list(kind(tmp_path).read(made))[7] is None


def test_a_shard_is_a_plain_tar(tmp_path: Path, fill: Fill) -> None:
    """tarfile reads a shard, each key has its PNG and its record, and headers hold neither clock nor owner."""
    store = Shards(tmp_path)
    made = fill(store, 0, 2)
    store.close()
    with tarfile.open(tmp_path / "shards/00000.tar") as tar:
        assert tar.getnames() == ["00000000.png", "00000000.json", "00000001.png", "00000001.json"]
        assert json.load(tar.extractfile("00000001.json")) == records.to_row(made[1])
        assert {(m.mtime, m.uid, m.uname, m.mode, m.isfile()) for m in tar.getmembers()} == {(0, 0, "", 0o644, True)}
    assert (tmp_path / "shards/00000.tar").read_bytes().endswith(bytes(1024))


def test_a_row_of_a_shard_counts(tmp_path: Path, fill: Fill) -> None:
    """A key.json that is not the record's is harm too."""
    store = Shards(tmp_path)
    made = fill(store, 0, 1)
    store.close()
    path = tmp_path / "shards/00000.tar"
    path.write_bytes(path.read_bytes().replace(b'"weight": 1.0', b'"weight": 2.0'))
    assert list(Shards(tmp_path).read(made)) == [None]
