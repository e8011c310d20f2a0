"""Features that come in blocks: in memory, in a file, and mapped from it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from synthcxr.errors import DataError
from synthcxr.evaluation.features import cache, row_blocks
from synthcxr.storage import numpy_files

KEY = {"images": "i"}
N = 10


def compute_blocks() -> Iterator[dict[str, NDArray[np.float32]]]:
    """Ten rows of features and logits, in blocks of four, four and two."""
    features = np.arange(N * 6, dtype=np.float32).reshape(N, 2, 3)
    logits = -np.arange(N * 2, dtype=np.float32).reshape(N, 2)
    for start in range(0, N, 4):
        yield {"logits": logits[start : start + 4], "features": features[start : start + 4]}


def refuse_to_compute() -> Iterator[dict[str, NDArray[np.float32]]]:
    raise AssertionError("computed again")


def test_a_file_has_the_arrays_that_are_joined_in_memory(tmp_path: Path) -> None:
    """numpy and the mapping both read what `join_blocks` gives."""
    path = tmp_path / "a.npz"
    row_blocks.write_blocks(path, compute_blocks(), N)
    expected = row_blocks.join_blocks(compute_blocks(), N)
    with np.load(path, allow_pickle=False) as archive:
        loaded = dict(archive)
    for arrays in (loaded, numpy_files.map_npz(path), numpy_files.read_npz(path)):
        assert arrays.keys() == expected.keys() == {"features", "logits"}
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, expected[name])
            assert array.dtype == np.float32


def test_mapped_arrays_are_aligned(tmp_path: Path) -> None:
    """They begin at a multiple of 64 bytes, because numpy copies others in every product; `np.savez` aligns nothing."""
    path = tmp_path / "a.npz"
    row_blocks.write_blocks(path, compute_blocks(), N)
    for array in numpy_files.map_npz(path).values():
        assert array.flags.aligned and array.ctypes.data % 64 == 0
    np.savez(path, features=np.ones(3, np.float32))
    with pytest.raises(DataError, match=r"features\.npy is not aligned, so it is not mapped"):
        numpy_files.map_npz(path)


def test_mapping_refuses_what_it_cannot_map(tmp_path: Path) -> None:
    """A compressed array cannot be mapped; the cache reads it into memory."""
    cache.load_or_compute_rows(tmp_path, KEY, compute_blocks, N)
    (key_path,) = tmp_path.glob("*.npz")
    arrays = row_blocks.join_blocks(compute_blocks(), N)
    np.savez_compressed(key_path, **arrays)
    with pytest.raises(DataError, match="is compressed, so it cannot be mapped"):
        numpy_files.map_npz(key_path)
    loaded = cache.load_or_compute_rows(tmp_path, KEY, refuse_to_compute, N)
    for name, array in loaded.items():
        np.testing.assert_array_equal(array, arrays[name])


def test_a_small_disk_is_noticed_after_one_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the free space is too small for all rows, one block is computed twice, and no file stays."""
    usage = shutil.disk_usage(tmp_path)._replace(free=N * 6 * 4 - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    n_blocks = 0

    def count_blocks() -> Iterator[dict[str, NDArray[np.float32]]]:
        nonlocal n_blocks
        for block in compute_blocks():
            n_blocks += 1
            yield block

    arrays = cache.load_or_compute_rows(tmp_path, KEY, count_blocks, N)
    np.testing.assert_array_equal(arrays["features"], row_blocks.join_blocks(compute_blocks(), N)["features"])
    assert n_blocks == 1 + 3
    assert "cannot store features (No space left on device)" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [".gitignore"]


def test_an_error_of_the_computation_is_raised_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that the computation cannot read is no problem of the cache, and nothing is computed again."""
    n_calls = 0

    def fail() -> Iterator[dict[str, NDArray[np.float32]]]:
        nonlocal n_calls
        n_calls += 1
        yield next(compute_blocks())
        raise PermissionError(13, "Permission denied", "shard.tar")

    with pytest.raises(PermissionError, match=r"shard\.tar"):
        cache.load_or_compute_rows(tmp_path, KEY, fail, N)
    assert n_calls == 1 and capsys.readouterr().err == ""


def test_a_changed_byte_never_gives_other_values(tmp_path: Path) -> None:
    """Whichever byte of the file is changed, the arrays and their names are those that were computed."""
    cache.load_or_compute_rows(tmp_path, KEY, compute_blocks, N)
    (path,) = tmp_path.glob("*.npz")
    data = path.read_bytes()
    expected = row_blocks.join_blocks(compute_blocks(), N)
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :])
        arrays = cache.load_or_compute_rows(tmp_path, KEY, compute_blocks, N)
        assert arrays.keys() == expected.keys(), position
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, expected[name], err_msg=f"byte {position}")


def test_the_second_call_computes_nothing(tmp_path: Path) -> None:
    """The arrays of the first call are mapped."""
    first = cache.load_or_compute_rows(tmp_path, KEY, compute_blocks, N)
    second = cache.load_or_compute_rows(tmp_path, KEY, refuse_to_compute, N)
    for name, array in first.items():
        np.testing.assert_array_equal(second[name], array)
        assert not second[name].flags.writeable
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ["", ".npz"]


def test_without_a_folder_the_arrays_are_in_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file in the place of the folder leads to one line, and to the same arrays."""
    folder = tmp_path / "taken"
    folder.write_text("")
    arrays = cache.load_or_compute_rows(folder, KEY, compute_blocks, N)
    np.testing.assert_array_equal(arrays["features"], row_blocks.join_blocks(compute_blocks(), N)["features"])
    assert capsys.readouterr().err.startswith(f"{folder}: cannot store features (")


def test_blocks_of_another_type_or_shape_are_refused(tmp_path: Path) -> None:
    """The header of the file is that of the first block, so others would be read as wrong numbers."""
    first = {"features": np.ones((2, 3), np.float32)}
    for other in (np.ones((2, 3)), np.ones((2, 4), np.float32)):
        with pytest.raises(ValueError, match="features: rows of .* are followed by rows of"):
            row_blocks.write_blocks(tmp_path / "a.npz", iter([first, {"features": other}]), 4)
    assert not list(tmp_path.iterdir())


def test_a_wrong_number_of_rows_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    """Too few, too many and no rows are errors."""
    for n in (N - 1, N + 1):
        with pytest.raises(ValueError, match=f"expected {n} images, got {N}"):
            cache.load_or_compute_rows(tmp_path, KEY, compute_blocks, n)
    with pytest.raises(DataError, match="no images"):
        cache.load_or_compute_rows(tmp_path, KEY, lambda: iter(()), 0)
    assert [path.name for path in tmp_path.iterdir()] == [".gitignore"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """A process that writes and sums 200 MB of features holds less than 40 MB more than before."""
    program = f"""
import sys
from pathlib import Path
import numpy as np
from synthcxr.evaluation.features import cache

def read_mb():
    (line,) = [line for line in open("/proc/self/status") if line.startswith("RssAnon")]
    return int(line.split()[1]) / 1024

peak = 0
def compute_blocks():
    global peak
    for index in range(100):
        yield {{"features": np.full((500, 1000), index, np.float32)}}
        peak = max(peak, read_mb())

before = read_mb()
features = cache.load_or_compute_rows(Path({str(tmp_path)!r}), {{}}, compute_blocks, 50_000)["features"]
total = sum(float(features[start:start + 500].sum(dtype=float)) for start in range(0, 50_000, 500))
print(total, max(peak, read_mb()) - before)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    total, grown_mb = map(float, result.stdout.split())
    assert total == 500_000 * 99 * 100 / 2
    assert grown_mb < 40, result.stdout
