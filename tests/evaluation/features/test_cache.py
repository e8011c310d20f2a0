from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthcxr.evaluation.features import cache

KEY = {"films": "f", "splits": ("train", "judge")}


class Counted:
    """A computation that counts how often it ran."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self) -> dict[str, np.ndarray]:
        self.n += 1
        return {"features": np.arange(6, dtype=np.float32).reshape(3, 2), "logits": np.ones((3, 1), np.float32)}


def test_the_second_call_reads_what_the_first_one_made(tmp_path: Path) -> None:
    """Same key, same arrays, computed once; another key computes again."""
    compute = Counted()
    first, second = (cache.cached(tmp_path, KEY, compute) for _ in range(2))
    assert compute.n == 1
    assert list(first) == list(second) == ["features", "logits"]
    for name, array in second.items():
        np.testing.assert_array_equal(array, first[name])
        assert array.dtype == np.float32
    cache.cached(tmp_path, KEY | {"films": "g"}, compute)
    assert compute.n == 2


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut short", b"something else"])
def test_a_broken_file_is_made_again(tmp_path: Path, damage: bytes) -> None:
    """A file of a killed or full disk costs time and never a wrong answer."""
    compute = Counted()
    cache.cached(tmp_path, KEY, compute)
    (path,) = tmp_path.glob("*.npz")
    path.write_bytes(damage)
    np.testing.assert_array_equal(cache.cached(tmp_path, KEY, compute)["features"], compute()["features"])
    assert cache.cached(tmp_path, KEY, compute)["features"].shape == (3, 2)
    assert compute.n == 3


def test_git_ignores_it_and_nothing_half_written_stays(tmp_path: Path) -> None:
    """The folder holds the arrays and a .gitignore over everything."""
    cache.cached(tmp_path / "deep" / "er", KEY, Counted())
    names = sorted(path.name for path in (tmp_path / "deep" / "er").iterdir())
    assert names[0] == ".gitignore"
    assert (tmp_path / "deep" / "er" / ".gitignore").read_text() == "*\n"
    assert [name for name in names if not name.endswith(".npz")] == [".gitignore"]


def test_a_folder_that_cannot_be_written_only_costs_the_cache(tmp_path: Path) -> None:
    """Where a file stands in the folder's place, the arrays come all the same."""
    (tmp_path / "taken").write_text("")
    assert cache.cached(tmp_path / "taken", KEY, Counted())["features"].shape == (3, 2)
