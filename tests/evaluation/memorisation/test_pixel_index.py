from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from synthcxr.data import images
from synthcxr.errors import DataError
from synthcxr.evaluation.memorisation import pixel_index, planted_copies
from synthcxr.evaluation.memorisation.pixel_index import PixelIndex


def films(n: int, side: int = 64, *, seed: int = 1) -> np.ndarray:
    """Film-like uint8 [n, side, side]: one shared shape, and soft structure of each film's own."""
    rng = np.random.default_rng(seed)
    shared = gaussian_filter(np.random.default_rng(0).standard_normal((side, side)), side / 6)
    own = gaussian_filter(rng.standard_normal((n, side, side)), (0, side / 12, side / 12))
    unit = 0.5 + 0.2 * shared / shared.std() + 0.1 * own / own.std()
    return images.quantise(unit.astype(np.float32))


def near(queries: np.ndarray, held: np.ndarray) -> pixel_index.Nearest:
    return pixel_index.neighbours(queries=pixel_index.reduced(queries), held=pixel_index.reduced(held))


def by_hand(image: np.ndarray, film: np.ndarray, shift: int) -> float:
    """The distance at the best shift, one shift after the other."""
    width, found = len(image) - 2 * shift, []
    for down in range(2 * shift + 1):
        for right in range(2 * shift + 1):
            pair = image[shift:-shift, shift:-shift], film[down : down + width, right : right + width]
            a, b = (window.astype(float) - window.mean() for window in pair)
            found.append(np.linalg.norm(a / np.linalg.norm(a) - b / np.linalg.norm(b)))
    return min(found)


@pytest.mark.parametrize("side", [16, 32, 64])
def test_the_one_product_is_the_search_over_shifts(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Distance and nearest film are those of cutting every window by hand, whatever the number of images at a time."""
    queries, held = pixel_index.reduced(films(5, side)), pixel_index.reduced(films(7, side, seed=2))
    index = PixelIndex.build(held)
    table = np.array([[by_hand(query, film, index.shift) for film in held] for query in queries])
    for chunk in (1, 10**9):
        monkeypatch.setattr(pixel_index, "_CHUNK", chunk)
        found = index.nearest(queries)
        np.testing.assert_allclose(found.distance, table.min(axis=1), atol=1e-3)
        assert found.at.tolist() == table.argmin(axis=1).tolist()


@pytest.mark.parametrize("side", [32, 64, 128])
@pytest.mark.parametrize("kind", planted_copies.RULES)
def test_planted_copies_are_found(kind: str, side: int) -> None:
    """Exact, shifted, contrast-changed and noisy copies lie nearer than any stranger's film, each at its own."""
    held, others = films(40, side), films(60, side, seed=2)
    copied = planted_copies.copies(held, np.random.default_rng(3))[kind]
    found, null = near(copied, held), near(others, held)
    assert found.at.tolist() == list(range(40))
    assert found.distance.max() < null.distance.min()


def test_brightness_and_contrast_do_not_count() -> None:
    """A film under any gain and offset that clips nothing is at distance 0, up to the rounding of its pixels."""
    held = films(10)
    changed = images.quantise((0.2 + 0.6 * held / 255.0).astype(np.float32))
    assert near(changed, held).distance.max() < 0.02


def test_flat_images_are_like_nothing() -> None:
    """A grey square resembles no film and no film resembles a grey square; nothing divides by zero."""
    grey = np.full((2, 64, 64), 128, np.uint8)
    assert near(grey, films(4)).distance == pytest.approx(np.sqrt(2), abs=1e-3)
    assert near(films(2), grey).distance == pytest.approx(np.sqrt(2), abs=1e-3)


def test_groups_are_kept_apart() -> None:
    """An image is not its own neighbour; where all are of one group there is nothing to compare."""
    held = pixel_index.reduced(films(5))
    each = np.arange(5).astype(object)
    found = pixel_index.neighbours(queries=held, held=held, groups=(each, each))
    assert (found.at != np.arange(5)).all()
    one = np.zeros(5, dtype=object)
    with pytest.raises(DataError, match="no film of another patient"):
        pixel_index.neighbours(queries=held, held=held, groups=(one, one))


def test_what_cannot_be_compared_is_named() -> None:
    """No films, and images of another side."""
    with pytest.raises(DataError, match="no films to compare"):
        PixelIndex.build(np.empty((0, 32, 32), np.float32))
    with pytest.raises(DataError, match="images of 16 px are compared with films reduced to 32 px"):
        near(films(1, 16), films(1, 32))
