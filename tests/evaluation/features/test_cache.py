from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthcxr.evaluation.features import cache

KEY = {"films": "f", "splits": ("train", "judge")}


class CountingComputation:
    """A computation that counts how often it ran."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self) -> dict[str, np.ndarray]:
        self.n += 1
        return {"features": np.arange(6, dtype=np.float32).reshape(3, 2), "logits": np.ones((3, 1), np.float32)}


def test_the_second_call_loads_the_arrays_of_the_first(tmp_path: Path) -> None:
    """The same key loads the same arrays without computing them; another key computes again."""
    compute = CountingComputation()
    first, second = (cache.load_or_compute(tmp_path, KEY, compute) for _ in range(2))
    assert compute.n == 1
    assert list(first) == list(second) == ["features", "logits"]
    for name, array in second.items():
        np.testing.assert_array_equal(array, first[name])
        assert array.dtype == np.float32
    cache.load_or_compute(tmp_path, KEY | {"films": "g"}, compute)
    assert compute.n == 2


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut short", b"something else"])
def test_a_damaged_file_is_computed_again(tmp_path: Path, damage: bytes) -> None:
    """A truncated or foreign file is computed again and never gives wrong arrays."""
    compute = CountingComputation()
    cache.load_or_compute(tmp_path, KEY, compute)
    (path,) = tmp_path.glob("*.npz")
    path.write_bytes(damage)
    np.testing.assert_array_equal(cache.load_or_compute(tmp_path, KEY, compute)["features"], compute()["features"])
    assert cache.load_or_compute(tmp_path, KEY, compute)["features"].shape == (3, 2)
    assert compute.n == 3


def test_the_folder_has_a_gitignore_and_no_partial_file(tmp_path: Path) -> None:
    """The folder holds only the arrays and a .gitignore that ignores everything."""
    cache.load_or_compute(tmp_path / "deep" / "er", KEY, CountingComputation())
    names = sorted(path.name for path in (tmp_path / "deep" / "er").iterdir())
    assert names[0] == ".gitignore"
    assert (tmp_path / "deep" / "er" / ".gitignore").read_text() == "*\n"
    assert [name for name in names if not name.endswith(".npz")] == [".gitignore"]


def test_a_folder_that_cannot_be_written_does_not_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If a file is in the place of the folder, the arrays are computed and returned, and a line says so."""
    folder = tmp_path / "taken"
    folder.write_text("")
    assert cache.load_or_compute(folder, KEY, CountingComputation())["features"].shape == (3, 2)
    assert capsys.readouterr().err.startswith(f"{folder}: cannot store features (")
