"""The resolution pyramid, .npy stacks and decoding in threads."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from synthcxr.data import images, pixel_budget, pyramid
from synthcxr.errors import DataError


def test_packed_sides_are_the_powers_of_two_from_4() -> None:
    """A dataset of 64 px has 4, 8, 16, 32 and 64 px."""
    assert pyramid.list_packed_sides(64) == (4, 8, 16, 32, 64)
    assert pyramid.list_packed_sides(4) == (4,)


@pytest.mark.parametrize(("size", "side"), [(4, 4), (7, 4), (63, 32), (64, 64), (65, 64), (1024, 64)])
def test_a_film_is_reduced_to_the_largest_side_that_it_fills(size: int, side: int) -> None:
    """No film is enlarged, and none is packed above the dataset's resolution."""
    assert pyramid.fit_side(size, 64) == side


def test_every_level_is_the_box_reduction_of_the_film() -> None:
    """Repeated halving differs from a single reduction by at most one grey level."""
    film = np.random.default_rng(0).random((160, 128), dtype=np.float32)
    for level in pyramid.build_pyramid(film, 64):
        direct = images.quantise(images.resize(images.crop_square(film), level.shape[0]))
        assert np.abs(level.astype(int) - direct.astype(int)).max() <= 1


def test_each_level_is_rounded_on_its_own() -> None:
    """A black and white checkerboard becomes 128 at every lower level: rounding errors do not add up."""
    board = (np.indices((16, 16)).sum(axis=0) % 2).astype(np.float32)
    first, *others = pyramid.build_pyramid(board, 16)
    assert set(np.unique(first)) == {0, 255}
    assert all(np.unique(level).tolist() == [128] for level in others)


@pytest.mark.parametrize("n", [0, 1, 1500])
def test_a_stack_is_an_npy_file(tmp_path: Path, n: int) -> None:
    """numpy loads the appended images and rows, for any number of images."""
    appended = np.random.default_rng(1).integers(0, 256, (n, 8, 8), dtype=np.uint8)
    with pyramid.ImageStack(tmp_path, 8) as stack:
        for row, image in enumerate(appended):
            stack.append(image, 2 * row)
    np.testing.assert_array_equal(np.load(tmp_path / "images_0008.npy", allow_pickle=False), appended)
    np.testing.assert_array_equal(np.load(tmp_path / "rows_0008.npy", allow_pickle=False), 2 * np.arange(n))


def test_results_are_in_the_order_of_the_items() -> None:
    """A slow first item delays the results of the others and does not change their order."""

    def slow_first(item: int) -> int:
        time.sleep(0.05 if item == 0 else 0)
        return item * item

    futures = list(pyramid.map_in_threads(slow_first, range(50), title="squares"))
    assert [future.result() for future in futures] == [item * item for item in range(50)]


def test_few_items_are_computed_ahead_and_closing_stops_the_rest() -> None:
    """Only a few items per core are started before the first result is read, and none after closing."""
    started: list[int] = []
    items = range(100_000)
    with contextlib.closing(pyramid.map_in_threads(started.append, items, title="items")) as futures:
        next(futures)
    assert len(started) < len(items) / 10
    assert threading.active_count() < 50


def test_the_pixels_that_threads_decode_together_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads wait until their film fits the budget, and a film above the whole budget is decoded alone."""
    budget = pixel_budget.PixelBudget(10_000)
    monkeypatch.setattr(pixel_budget, "DECODING", budget)
    monkeypatch.setattr(pyramid, "count_usable_cores", lambda: 8)
    for number in range(30):
        side = 200 if number % 10 == 0 else 60
        (tmp_path / f"{number}.png").write_bytes(images.encode_png(np.zeros((side, side), np.uint8)))
    reserved: list[int] = []

    def read_slowly(number: int) -> int:
        side = images.read(tmp_path / f"{number}.png").shape[0]
        time.sleep(0.01)
        reserved.append(budget.n_reserved)
        return side

    futures = list(pyramid.map_in_threads(read_slowly, range(30), title="films"))
    assert [future.result() for future in futures] == [200 if number % 10 == 0 else 60 for number in range(30)]
    assert set(reserved) <= {3600, 7200, 40_000}
    assert budget.n_reserved == 0


def test_a_failed_or_repeated_read_gives_its_pixels_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A film that is cut off, and a task that reads two films, leave the budget as it was."""
    budget = pixel_budget.PixelBudget(1000)
    monkeypatch.setattr(pixel_budget, "DECODING", budget)
    data = images.encode_png(np.random.default_rng(0).integers(0, 256, (30, 30), dtype=np.uint8))
    (tmp_path / "cut.png").write_bytes(data[:200])
    (tmp_path / "x.png").write_bytes(data)

    def read_two(_: int) -> None:
        images.read(tmp_path / "x.png")
        images.read(tmp_path / "cut.png")

    futures = list(pyramid.map_in_threads(read_two, range(20), title="films"))
    assert all(isinstance(future.exception(), DataError) for future in futures)
    assert budget.n_reserved == 0
    assert images.read(tmp_path / "x.png").shape == (30, 30)
    assert budget.n_reserved == 0
