"""The films nearest to images in pixels."""

from __future__ import annotations

import numpy as np

from synthcxr.report.nearest_films import find_nearest_films


def test_every_changed_film_finds_its_original() -> None:
    """A film is nearest to itself, also when it is brighter, has less contrast and has noise."""
    rng = np.random.default_rng(0)
    films = rng.integers(0, 256, (7, 64, 64)).astype(np.uint8)
    order = rng.permutation(7)
    changed = films[order] * 0.5 + 60 + rng.normal(0, 3, films.shape)
    for size in (1, 3, 7, 9):  # films per batch
        batches = [films[start : start + size] for start in range(0, 7, size)]
        assert np.array_equal(find_nearest_films(synthetic=changed.astype(np.uint8), films=batches), order)


def test_an_image_without_contrast_has_a_nearest_film() -> None:
    """An image of one grey level does not divide by zero."""
    films = np.arange(2 * 16, dtype=np.uint8).reshape(2, 4, 4)
    assert find_nearest_films(synthetic=np.full((1, 4, 4), 9, np.uint8), films=[films]).tolist() == [0]
