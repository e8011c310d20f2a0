from __future__ import annotations

import numpy as np
import pytest

from synthcxr.evaluation.metrics import near_duplicates


def draw_squares(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 32, 32)).astype(np.float32)


def test_correlations_are_those_of_numpy() -> None:
    """The largest off-diagonal entry of each row of the correlation matrix."""
    squares = draw_squares(30)
    matrix = np.corrcoef(squares.reshape(30, -1)) - 2 * np.eye(30)
    assert near_duplicates.find_nearest_correlations(squares) == pytest.approx(matrix.max(axis=1), abs=1e-5)


@pytest.mark.parametrize("with_groups", [False, True])
def test_blocks_do_not_change_the_values(monkeypatch: pytest.MonkeyPatch, with_groups: bool) -> None:
    """Blocks of 7 rows, the last one incomplete, with uniform images in different blocks."""
    squares = draw_squares(30)
    squares[[2, 29]] = 0.5
    patients = np.array([str(row % 9) for row in range(30)], dtype=object) if with_groups else None
    whole = near_duplicates.find_nearest_correlations(squares, patients)
    before = squares.copy()
    monkeypatch.setattr(near_duplicates, "_BLOCK", 7)
    assert near_duplicates.find_nearest_correlations(squares, patients) == pytest.approx(whole, abs=1e-6)
    np.testing.assert_array_equal(squares, before)


def test_repeated_images_are_near_duplicates_whatever_their_brightness_and_contrast() -> None:
    """Two images are copies of the first, one with other brightness and contrast, one with a little noise."""
    squares = draw_squares(20)
    squares[5] = 0.2 + 0.5 * squares[0]
    squares[9] = squares[0] + 0.01 * draw_squares(1, seed=1)[0]
    flags = near_duplicates.is_near_duplicate(near_duplicates.find_nearest_correlations(squares))
    assert np.flatnonzero(flags).tolist() == [0, 5, 9]


def test_films_of_the_same_patient_are_not_compared() -> None:
    """A film is compared with films of other patients; one patient alone has no comparison."""
    squares = draw_squares(6)
    squares[1] = squares[0]
    patients = np.array(["a", "a", "b", "b", "c", "c"], dtype=object)
    assert near_duplicates.find_nearest_correlations(squares, patients).max() < 0.5
    assert np.isnan(near_duplicates.find_nearest_correlations(squares[:2], patients[:2])).all()


def test_uniform_images_are_duplicates_of_each_other_alone() -> None:
    """A generator that makes blank images repeats itself."""
    squares = draw_squares(4)
    squares[1:3] = np.array([0.2, 0.7])[:, None, None]
    nearest = near_duplicates.find_nearest_correlations(squares)
    assert nearest[1:3].tolist() == [1, 1]
    assert abs(nearest[[0, 3]]).max() < 0.2
