"""Squares, streams and threads of the packed dataset."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from synthcxr.data import images, pyramid


def test_sides_are_the_powers_of_two_from_four() -> None:
    """A dataset of 64 px holds 4, 8, 16, 32 and 64 px."""
    assert pyramid.packed_sides(64) == (4, 8, 16, 32, 64)
    assert pyramid.packed_sides(4) == (4,)


@pytest.mark.parametrize(("size", "side"), [(4, 4), (7, 4), (63, 32), (64, 64), (65, 64), (1024, 64)])
def test_a_film_fills_the_largest_side_within_its_own(size: int, side: int) -> None:
    """No film is enlarged, and none beyond the dataset's resolution is kept."""
    assert pyramid.top(size, 64) == side


def test_every_level_is_the_box_reduction_of_the_film() -> None:
    """Halving step by step of a film of a packed size gives what one reduction gives, to a grey level."""
    film = np.random.default_rng(0).random((160, 128), dtype=np.float32)
    for level in pyramid.pyramid(film, 64):
        direct = images.quantise(images.resize(images.square(film), level.shape[0]))
        assert np.abs(level.astype(int) - direct.astype(int)).max() <= 1


def test_levels_are_rounded_each_by_itself() -> None:
    """A checkerboard of black and white becomes mid grey at once: rounding is not carried from level to level."""
    board = (np.indices((16, 16)).sum(axis=0) % 2).astype(np.float32)
    first, *others = pyramid.pyramid(board, 16)
    assert set(np.unique(first)) == {0, 255}
    assert all(np.unique(level).tolist() == [128] for level in others)


@pytest.mark.parametrize("n", [0, 1, 1500])
def test_a_stream_becomes_a_plain_npy_file(tmp_path: Path, n: int) -> None:
    """What was appended is what numpy loads, whatever the count that the header did not know at first."""
    wanted = np.random.default_rng(1).integers(0, 256, (n, 8, 8), dtype=np.uint8)
    with pyramid.Stack(tmp_path, 8) as stack:
        for row, image in enumerate(wanted):
            stack.append(image, 2 * row)
    np.testing.assert_array_equal(np.load(tmp_path / "images_0008.npy", allow_pickle=False), wanted)
    np.testing.assert_array_equal(np.load(tmp_path / "rows_0008.npy", allow_pickle=False), 2 * np.arange(n))


def test_results_come_in_order_whichever_thread_is_first() -> None:
    """A slow first item holds back the others' results, not their places."""

    def slow_first(item: int) -> int:
        time.sleep(0.05 if item == 0 else 0)
        return item * item

    futures = list(pyramid.in_threads(slow_first, range(50), title="squares"))
    assert [future.result() for future in futures] == [item * item for item in range(50)]


def test_few_items_are_computed_ahead_and_closing_stops_the_rest() -> None:
    """Of a great many items only a handful per core is begun before the first result is read."""
    begun: list[int] = []
    items = range(100_000)
    with contextlib.closing(pyramid.in_threads(begun.append, items, title="items")) as futures:
        next(futures)
    assert len(begun) < len(items) / 10
    assert threading.active_count() < 50
