"""Nearest films by pixels."""

from __future__ import annotations

import numpy as np

from synthcxr.report import nearest_films


def test_finds_each_film_again() -> None:
    """A film is nearest to itself, also when brighter, flatter and noisy."""
    rng = np.random.default_rng(0)
    films = rng.integers(0, 256, (7, 64, 64)).astype(np.uint8)
    order = rng.permutation(7)
    changed = films[order] * 0.5 + 60 + rng.normal(0, 3, films.shape)
    for size in (1, 3, 7, 9):  # films to a batch
        batches = [films[start : start + size] for start in range(0, 7, size)]
        assert np.array_equal(nearest_films.nearest(synthetic=changed.astype(np.uint8), films=batches), order)


def test_a_flat_image_has_some_neighbour() -> None:
    """An image without any contrast is no division by zero."""
    films = np.arange(2 * 16, dtype=np.uint8).reshape(2, 4, 4)
    assert nearest_films.nearest(synthetic=np.full((1, 4, 4), 9, np.uint8), films=[films]).tolist() == [0]
